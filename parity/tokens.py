"""Patch tokens of encoders of real size, and training from their weights: python tokens.py [ARCH ...], after `npx tsc -b`.

Each is timm's (torchvision's for ResNets) with random weights; ResNets are official MoCo v2 checkpoints with keys and queue, ViTs
plain state dicts. Compared with PyTorch: features and tokens of `moco import`ed weights in ONNX Runtime; both outputs of the model of
`moco export --tokens` in ONNX Runtime from PyPI, which onnx.checker must accept; and features of a run with `--init` whose steps
have a rate of 1e-30, so that they leave the weights as they are (batch normalisation: its running estimates are put back). Then a few
steps with the usual rate must give finite losses and other weights. Differences are the largest of any value, relative to the largest
value. Exits 1 if one is above 1e-4 (ResNets: 2e-4).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import get_model

from exchange_check import backbone, head, moco, relative

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when it is imported
import onnxruntime  # noqa: E402

ROOT = Path(__file__).parent
BATCH, STEPS = 2, 3
# Relative; of a ResNet's single positions PyTorch's float32 is 8.6e-5 from its float64.
LIMITS = {"resnet50": 2e-4}
LIMIT = 1e-4
ARCHS = ["resnet50", "vit_small", "deit_small_patch16_224", "vit_small_patch14_reg4_dinov2", "vit_base_patch16_clip_224"]
SIZE = {"vit_small_patch14_reg4_dinov2": 112}
TRAIN_SIZE = {"resnet50": 64, "vit_small_patch14_reg4_dinov2": 56}


def network(arch: str) -> tuple[nn.Module, int]:
    """With random weights, also of what starts at 0 or 1 in a ViT, and statistics of random images; and the side of its images."""
    side = SIZE.get(arch, 224)
    if arch in ("resnet50", "vit_small"):
        model, _ = backbone(arch)
    else:
        model = timm.create_model(arch, pretrained=False, num_classes=0, img_size=side)
    for name, value in model.named_parameters():
        if arch != "resnet50" and name != "pos_embed" and (value.ndim == 1 or "token" in name):
            nn.init.normal_(value, float("norm" in name and name.endswith("weight")), 0.1)
    if arch == "resnet50":
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        model.train()(torch.randn(8, 3, side, side))
    return model.eval(), side


def outputs(arch: str, model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features, and the tokens of the patches or of the last map."""
    if arch == "resnet50":
        maps: list[Tensor] = []
        handle = model.layer4.register_forward_hook(lambda *given: maps.append(given[2]))
        features = model(images)
        handle.remove()
        return features, maps[0].flatten(2).transpose(1, 2)
    tokens = model.forward_features(images)
    return model.forward_head(tokens), tokens[:, model.num_prefix_tokens :]


def saved(arch: str, model: nn.Module, path: Path) -> None:
    state = model.state_dict()
    if arch == "resnet50":
        both = {f"module.{k}.{n}": v for k in ("encoder_q", "encoder_k") for n, v in state.items()}
        both |= {f"module.{k}.fc.{n}": v for k in ("encoder_q", "encoder_k") for n, v in head(arch, 2048).state_dict().items()}
        queue = nn.functional.normalize(torch.randn(128, 64), dim=0)
        both |= {"module.queue": queue, "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
        state = {"epoch": 200, "arch": arch, "state_dict": both}  # type: ignore[assignment]
    torch.save(state, path)


def features_here(checkpoint: Path, images: Tensor, folder: Path) -> dict[str, Tensor]:
    save_file({"input": images}, folder / "in.safetensors")
    command = ["node", ROOT / "features.mjs", checkpoint, folder / "in.safetensors", folder / "out.safetensors"]
    subprocess.run(command, check=True)
    return load_file(folder / "out.safetensors")


def photos(folder: Path) -> Path:
    random = np.random.default_rng(0)
    path = folder / "photos"
    path.mkdir()
    for i in range(8 * STEPS):
        coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 64)).save(path / f"{i:02}.png")
    return path


def trained(arch: str, weights: Path, folder: Path, name: str, *flags: str) -> tuple[dict[str, Tensor], list[float], Path]:
    """The query encoder of a short run, its losses and its last checkpoint."""
    out = folder / name
    size = str(TRAIN_SIZE.get(arch, 32))
    method = "moco-v2" if arch == "resnet50" else "moco-v3"
    given = ["--method", method, "--init", str(weights), "--image-size", size, "-b", "8", "-p", "1", "-j", "1"]
    given += ["--moco-k", "64", "--bn-splits", "1", "--moco-dim", "128"] if method == "moco-v2" else ["--moco-mlp-dim", "64", "--moco-dim", "64"]
    given += ["--epochs", "50", "--max-steps", str(STEPS), "--out", str(out)]
    moco("pretrain", str(folder / "photos"), *given, *flags)
    losses = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    checkpoint = max(out.glob("checkpoint-*.safetensors"))
    query = {n[2:]: v for n, v in load_file(checkpoint).items() if n.startswith("q.")}
    return query, [line["loss"] for line in losses if line["event"] == "step"], checkpoint


@torch.no_grad()
def check(arch: str, folder: Path) -> dict[str, float]:
    torch.manual_seed(0)
    model, side = network(arch)
    images = torch.randn(BATCH, 3, side, side)
    features, tokens = outputs(arch, model, images)
    weights, own, onnx = folder / "weights.pth.tar", folder / "own.safetensors", folder / "model.onnx"
    saved(arch, model, weights)
    moco("import", str(weights), "-o", str(own), "--image-size", str(side), *named(arch))
    here = features_here(own, images, folder)
    moco("export", str(own), "-o", str(onnx), "--tokens", "--no-card")
    subprocess.run([sys.executable, ROOT / "onnx_check.py", onnx], check=True, stdout=subprocess.DEVNULL)
    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    exported = [torch.from_numpy(value) for value in session.run(["features", "tokens"], {"input": images.numpy()})]

    differences = {
        "features": relative(here["features"], features),
        "tokens": relative(here["tokens"], tokens),
        "exported features": relative(exported[0], features),
        "exported tokens": relative(exported[1], tokens),
    }
    print(f"  {arch}: {differences}", file=sys.stderr, flush=True)
    photos(folder)
    still, _, _ = trained(arch, weights, folder, "still", "--lr", "1e-30", "--wd", "0", *named(arch))
    begun = {n: v for n, v in still.items() if n in model.state_dict() and "running" not in n}
    size = TRAIN_SIZE.get(arch, 32)
    other, _ = network(arch) if arch == "resnet50" else (resized(arch, size), size)
    state = other.state_dict() | model.state_dict() if arch == "resnet50" else other.state_dict() | begun
    expected = model if arch == "resnet50" else resized(arch, size, model)
    other.load_state_dict(state | begun)
    small = torch.randn(BATCH, 3, size, size)
    start = relative(other.eval()(small), expected.eval()(small))
    moved, losses, _ = trained(arch, weights, folder, "moved", *named(arch))
    assert len(losses) == STEPS and all(np.isfinite(losses)), losses
    assert any(not torch.equal(v, begun[n]) for n, v in moved.items() if n in begun)
    return differences | {"start of a run": start}


def named(arch: str) -> list[str]:
    # Of weights with fixed positions or one of several kinds of GELU the shapes say enough.
    return [] if arch in ("resnet50", "vit_small") else ["-a", arch]


def resized(arch: str, side: int, model: nn.Module | None = None) -> nn.Module:
    """The same for other images: of given weights as timm's `resample_abs_pos_embed` has the positions."""
    if arch == "vit_small":
        from vit import positions
        from timm.models.vision_transformer import VisionTransformer

        size: dict[str, Any] = {"img_size": side, "patch_size": 16, "embed_dim": 384, "depth": 12, "num_heads": 12}
        other: nn.Module = VisionTransformer(**size, num_classes=0, norm_layer=partial(nn.LayerNorm, eps=1e-6))
        fixed = positions(384, side // 16).float()
        other.pos_embed.data.copy_(fixed)
        if model is not None:
            other.load_state_dict(model.state_dict() | {"pos_embed": fixed})
        return other
    other = timm.create_model(arch, pretrained=False, num_classes=0, img_size=side)
    if model is not None:
        from timm.layers import resample_abs_pos_embed

        state = model.state_dict()
        prefix = 0 if other.no_embed_class else other.num_prefix_tokens
        grid = [side // other.patch_embed.patch_size[0]] * 2
        old = int((state["pos_embed"].shape[1] - prefix) ** 0.5)
        place = resample_abs_pos_embed(state["pos_embed"], grid, [old, old], num_prefix_tokens=prefix)
        other.load_state_dict(state | {"pos_embed": place})
    return other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archs", nargs="*", default=ARCHS)
    torch.set_num_threads(1)
    failed = False
    print("| arch | features | tokens | exported features | exported tokens | start of a run |\n|---|---|---|---|---|---|")
    for arch in parser.parse_args().archs:
        with tempfile.TemporaryDirectory() as folder:
            differences = check(arch, Path(folder))
        failed |= not max(differences.values()) <= LIMITS.get(arch, LIMIT)
        print(f"| {arch} | " + " | ".join(f"{value:.1e}" for value in differences.values()) + " |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
