"""Encoders of real size from PyTorch to here and back: python exchange_check.py [ARCH ...], after `npx tsc -b`.

Each is random, its running statistics those of random images, and is saved as an official MoCo v2 or v3 checkpoint in
both formats of torch.save. `moco import` reads them and ONNX Runtime computes features of four images of 224 pixels. `moco convert` writes it as a .pth,
which torch.load(weights_only=True) reads, and as safetensors; both must load strictly and give PyTorch the same features.
Differences are the largest of any feature, relative to the largest feature. Exits 1 if one is above 1e-4.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import get_model

from vit import positions

ROOT = Path(__file__).parent.parent
ARCHS = ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "vit_small"]
BATCH, SIDE, LIMIT = 4, 224, 1e-4


def backbone(arch: str) -> tuple[nn.Module, str]:
    """Without a head, and the name of the place where its head goes."""
    if arch == "vit_small":
        from timm.models.vision_transformer import VisionTransformer

        size = {"img_size": SIDE, "patch_size": 16, "embed_dim": 384, "depth": 12, "num_heads": 12}
        model: nn.Module = VisionTransformer(**size, num_classes=0, norm_layer=partial(nn.LayerNorm, eps=1e-6))
        model.pos_embed.data.copy_(positions(384, SIDE // 16))
        return model, "head"
    model = get_model(arch, weights=None)
    model.fc = nn.Identity()
    return model, "fc"


def head(arch: str, width: int) -> nn.Module:
    if arch != "vit_small":
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 128))
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate([(width, 4096), (4096, 4096), (4096, 256)]):
        layers += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b, affine=i < 2)] + ([nn.ReLU()] if i < 2 else [])
    return nn.Sequential(*layers)


def moco(*args: str) -> None:
    command = ["node", str(ROOT / "packages/cli/dist/bin.js"), *args]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max() / b.double().abs().max())


@torch.no_grad()
def check(arch: str, folder: Path) -> dict[str, float]:
    torch.manual_seed(0)
    model, place = backbone(arch)
    images = torch.randn(BATCH, 3, SIDE, SIDE)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    model.train()
    model(torch.randn(8, 3, SIDE, SIDE))
    model.eval()
    f32 = model(images)
    f64 = model.double()(images.double())
    model.float()

    prefix = "module.base_encoder" if place == "head" else "module.encoder_q"
    state = {f"{prefix}.{n}": v for n, v in model.state_dict().items()}
    state |= {f"{prefix}.{place}.{n}": v for n, v in head(arch, f32.shape[1]).state_dict().items()}
    official, own = folder / "official.pth.tar", folder / "own.safetensors"
    legacy, same = folder / "legacy.pth.tar", folder / "same.safetensors"
    saved = {"epoch": 1, "arch": arch, "state_dict": state}
    torch.save(saved, official)
    torch.save(saved, legacy, _use_new_zipfile_serialization=False)
    moco("import", str(official), "-o", str(own))
    moco("import", str(legacy), "-o", str(same))
    one, two = load_file(own), load_file(same)
    assert one.keys() == two.keys() and all(torch.equal(v, two[n]) for n, v in one.items())
    save_file({"input": images}, folder / "in.safetensors")
    script = str(ROOT / "parity" / "features.mjs")
    subprocess.run(["node", script, own, folder / "in.safetensors", folder / "out.safetensors"], check=True)
    here = load_file(folder / "out.safetensors")["features"]

    back: dict[str, float] = {}
    for name in ("back.pth", "back.safetensors"):
        moco("convert", str(own), "-o", str(folder / name))
        path = folder / name
        loaded = torch.load(path, weights_only=True) if path.suffix == ".pth" else load_file(path)
        other, _ = backbone(arch)
        other.load_state_dict(loaded)
        features = other.eval()(images)
        back[name] = max(relative(features, f32), relative(features, here))
    return {
        "here": relative(here, f32),
        "back": max(back.values()),
        "here, float64": relative(here, f64),
        "PyTorch, float64": relative(f32, f64),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archs", nargs="*", default=ARCHS)
    torch.set_num_threads(1)
    worst = 0.0
    print("| arch | here and PyTorch | the way back | here and float64 | PyTorch and float64 |\n|---|---|---|---|---|")
    for arch in parser.parse_args().archs:
        with tempfile.TemporaryDirectory() as folder:
            differences = check(arch, Path(folder))
        worst = max(worst, differences["here"], differences["back"])
        print(f"| {arch} | " + " | ".join(f"{value:.1e}" for value in differences.values()) + " |", flush=True)
    sys.exit(0 if worst <= LIMIT else 1)


if __name__ == "__main__":
    main()
