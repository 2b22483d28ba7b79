"""Times two views of JPEGs on one core in torchvision: on Pillow's images, or v2's transforms on tensors. One JSON line."""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).parents[1] / "fashion-mnist"))
from data import MEAN, STD, view

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path)
parser.add_argument("--views", choices=["v1", "aug-plus"], required=True)
parser.add_argument("--peer", choices=["pillow", "v2"], required=True)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--repeat", type=int, default=2)
args = parser.parse_args()
torch.set_num_threads(1)
torch.manual_seed(0)


def on_tensors() -> v2.Compose:
    """The same recipes; torchvision has no box blur, so v2's own Gaussian of 23 taps, as SimCLR has it."""
    crop = v2.RandomResizedCrop(args.size, (0.2, 1.0), antialias=True)
    gray, flip = v2.RandomGrayscale(0.2), v2.RandomHorizontalFlip()
    if args.views == "aug-plus":
        jitter = v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8)
        steps = [crop, jitter, gray, v2.RandomApply([v2.GaussianBlur(23, (0.1, 2.0))], 0.5), flip]
    else:
        steps = [crop, gray, v2.ColorJitter(0.4, 0.4, 0.4, 0.4), flip]
    return v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


def decoded_by_pillow(file: Path) -> Image.Image:
    return Image.open(file).convert("RGB")


def decoded_to_tensor(file: Path) -> torch.Tensor:
    return decode_jpeg(read_file(str(file)), mode=ImageReadMode.RGB)


pillow = args.peer == "pillow"
decode = decoded_by_pillow if pillow else decoded_to_tensor
transform = view(args.size, 0.2, args.views == "aug-plus") if pillow else on_tensors()
files = sorted(args.folder.glob("*.jpg"))
rates = []
for round_ in range(args.repeat + 1):
    before = time.perf_counter()
    for file in files:
        image = decode(file)
        transform(image), transform(image)
    if round_ > 0:  # the first warms caches up
        rates.append(len(files) / (time.perf_counter() - before))
print(json.dumps({"imagesPerSecond": rates, "median": statistics.median(rates)}))
