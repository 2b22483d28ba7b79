"""Makes parity/fixtures/state-dicts.json: torchvision's names and shapes of each ResNet, and features of some and of `resnet-mini`.

Compact form: `[O, I, kH, kW]` under a convolution's weight; under a batch normalisation's own name its channels,
which stand for weight, bias, running_mean and running_var. `fc` and `num_batches_tracked` are left out.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import nn
from torchvision.models import get_model

from moco_torch import build_encoder
from philox import Rng

ARCHS = [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)]
ARCHS += ["resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2"]
# arch: pixels. The last map of resnet-mini is 5x5 at 40, whose 2x2 cells overlap.
FEATURES = {"resnet34": 48, "resnet50": 40, "resnext50_32x4d": 32, "resnet-mini": 40}
SEED, KEPT = 1, 32


def names(model: nn.Module) -> dict[str, object]:
    modules = dict(model.named_modules())
    out: dict[str, object] = {}
    for name, value in model.state_dict().items():
        module = name.rsplit(".", 1)[0]
        if isinstance(modules[module], nn.BatchNorm2d):
            out[module] = modules[module].num_features
        elif not name.startswith("fc."):
            out[name] = list(value.shape)
    return out


def features(model: nn.Module, pixels: int) -> list[float]:
    """Of one image in evaluation mode, in float64, from weights and an image by the repository's random streams."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim == 4:
                std = math.sqrt(2 / (value.shape[0] * value.shape[2] * value.shape[3]))
                draw = Rng(SEED, f"init/{name}").normal(value.numel()) * std
                value.copy_(torch.from_numpy(draw).reshape(value.shape))
        image = torch.from_numpy(Rng(SEED, "picture").normal(3 * pixels * pixels)).float()
        model.fc = nn.Identity()
        return model.double().eval()(image.double().reshape(1, 3, pixels, pixels))[0, :KEPT].tolist()


def mini() -> nn.Module:
    model = build_encoder("resnet-tiny", None, 1, False)
    model.layer4 = nn.Identity()
    model.avgpool = nn.AdaptiveAvgPool2d(2)
    return model


def main() -> None:
    models = {arch: get_model(arch, weights=None) for arch in ARCHS}
    document = {
        "archs": {arch: names(model) for arch, model in models.items()},
        "parameters": {
            arch: sum(p.numel() for n, p in model.named_parameters() if not n.startswith("fc."))
            for arch, model in models.items()
        },
        "features": {
            arch: {"seed": SEED, "pixels": pixels, "values": features(models.get(arch) or mini(), pixels)}
            for arch, pixels in FEATURES.items()
        },
    }
    path = Path(__file__).parent / "fixtures" / "state-dicts.json"
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
