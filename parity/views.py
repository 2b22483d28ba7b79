"""Views of torchvision and Pillow on fixed parameters, for packages/data.

Writes fixtures/views.safetensors (bytes in and out) and fixtures/views.json (the parameters of each case). Needs
torch, torchvision, Pillow, numpy and safetensors, and the emoji images in node_modules.
"""

import json
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
import torchvision.transforms.functional as F
from PIL import Image, ImageFilter, ImageOps
from safetensors.numpy import save_file

HERE = Path(__file__).parent
PACKAGES = HERE.parent / "packages" / "data" / "node_modules"
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def emoji(designer, name):
    file = PACKAGES / f"emoji-datasource-{designer}" / "img" / designer / "64" / f"{name}.png"
    drawing = Image.open(file).convert("RGBA")
    page = Image.new("RGBA", drawing.size, (255, 255, 255, 255))
    return Image.alpha_composite(page, drawing).convert("RGB")


def photo():
    """A photo-like image: smooth light, a few edges, grain. Wider than high, odd sides."""
    rng = np.random.default_rng(7)
    h, w = 91, 123
    y, x = np.mgrid[0:h, 0:w]
    base = np.stack([110 + 90 * np.sin(x / 19 + c) * np.cos(y / (13 + 3 * c)) for c in range(3)], -1)
    base[(x - 80) ** 2 + (y - 40) ** 2 < 500] += [60, -50, 30]
    base[y > 70] *= 0.5
    return Image.fromarray(np.clip(base + rng.normal(0, 9, base.shape), 0, 255).astype(np.uint8))


images = {
    "grin": emoji("google", "1f600"),
    "rose": emoji("twitter", "1f339"),
    "photo": photo(),
}
tensors = {f"in.{name}": np.asarray(image) for name, image in images.items()}
cases = []


def case(op, image, out, **parameters):
    name = f"out.{len(cases)}"
    tensors[name] = np.ascontiguousarray(out)
    cases.append({"op": op, "in": image, "out": name, **parameters})


BILINEAR = F.InterpolationMode.BILINEAR
for name, box, size in [
    ("grin", (3, 5, 50, 44), 32),  # top, left, height, width
    ("rose", (0, 0, 64, 64), 32),
    ("rose", (20, 11, 22, 27), 32),  # enlarged
    ("photo", (4, 9, 80, 101), 48),
    ("photo", (10, 31, 16, 21), 48),
    ("photo", (0, 0, 91, 123), 16),
]:
    top, left, height, width = box
    out = F.resized_crop(images[name], top, left, height, width, [size, size], BILINEAR)
    case("crop", name, np.asarray(out), box={"left": left, "top": top, "width": width, "height": height}, size=size)

small = {name: F.resize(image, [32, 32], BILINEAR) for name, image in images.items()}
for name, image in small.items():
    tensors[f"in.small.{name}"] = np.asarray(image)
    for op, function, values in [
        ("brightness", F.adjust_brightness, [0.6, 1.37]),
        ("contrast", F.adjust_contrast, [0.65, 1.4]),
        ("saturation", F.adjust_saturation, [0.0, 0.7, 1.4]),
        ("hue", F.adjust_hue, [-0.1, 0.07, 0.4]),
        ("solarize", F.solarize, [128]),
    ]:
        for value in values:
            case(op, f"small.{name}", np.asarray(function(image, value)), value=value)
    case("grayscale", f"small.{name}", np.asarray(F.rgb_to_grayscale(image, 3)))
    case("flip", f"small.{name}", np.asarray(F.hflip(image)))
    for sigma in [0.1, 0.5, 1.0, 1.6, 2.0]:
        blurred = image.filter(ImageFilter.GaussianBlur(radius=sigma))
        case("blur", f"small.{name}", np.asarray(blurred), value=sigma)
        # A true Gaussian, to see what three boxes are worth.
        true = F.gaussian_blur(image, [13, 13], [sigma, sigma])
        case("true-blur", f"small.{name}", np.asarray(true), value=sigma)

# One whole view, operations in a drawn order, and the evaluation transform, both normalised.
view = F.resized_crop(images["photo"], 4, 9, 80, 101, [32, 32], BILINEAR)
view = F.adjust_hue(view, 0.06)
view = F.adjust_contrast(view, 1.3)
view = F.adjust_brightness(view, 0.8)
view = F.adjust_saturation(view, 0.75)
view = view.filter(ImageFilter.GaussianBlur(radius=0.8))
view = F.hflip(ImageOps.solarize(view, 128))
case("view", "photo", F.normalize(F.to_tensor(view), MEAN, STD).numpy(), size=32)
clean = F.center_crop(F.resize(images["photo"], 48, BILINEAR), 42)
case("clean", "photo", F.normalize(F.to_tensor(clean), MEAN, STD).numpy(), size=42, resize=48)

save_file(tensors, HERE / "fixtures" / "views.safetensors")
made_with = {"torch": torch.__version__, "torchvision": torchvision.__version__, "pillow": PIL.__version__}
text = json.dumps({"made with": made_with, "mean": MEAN, "std": STD, "cases": cases}, indent=1)
(HERE / "fixtures" / "views.json").write_text(text + "\n")
