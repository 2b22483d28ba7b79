"""Makes parity/fixtures/vit-traits.json: tiny ViTs by timm with the traits of DeiT, DINOv2 and CLIP, features and tokens in float64;
positions for other numbers of patches; names and shapes of timm's models, of those that are read and of those that are not.

Weights are drawn from streams that JavaScript has too.
"""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from philox import Rng

SEED, BATCH, SIDE, PATCH, DIM = 9, 2, 14, 7, 16
SIZE = {"img_size": SIDE, "patch_size": PATCH, "embed_dim": DIM, "depth": 2, "num_heads": 4, "num_classes": 0}
CLIP = {"pre_norm": True, "eps": 1e-5}
CASES: dict[str, dict[str, Any]] = {
    "deit": {},
    "dinov2": {"init_values": 1e-5},
    "dinov2-registers": {"init_values": 1e-5, "reg_tokens": 4, "no_embed_class": True},
    "clip": CLIP,
    "clip-quick": CLIP | {"act_layer": "quick_gelu"},
}
READ = [f"deit_{size}_patch16_224" for size in ("tiny", "small", "base")] + ["vit_large_patch16_224"]
READ += [f"vit_{size}_patch14_{reg}dinov2" for size in ("small", "base", "large") for reg in ("", "reg4_")]
READ += [f"vit_{net}_clip_{act}224" for net in ("base_patch16", "large_patch14") for act in ("", "quickgelu_")]
REFUSED = ["vit_small_patch16_dinov3", "vit_small_patch16_rope_224", "eva02_tiny_patch14_224", "vit_giant_patch14_dinov2"]
REFUSED += ["deit_tiny_distilled_patch16_224", "vit_base_patch16_siglip_224", "beit_base_patch16_224"]
REFUSED += ["vit_tiny_r_s16_p8_224", "vit_base_patch16_18x2_224", "deit3_small_patch16_224"]
GRIDS = [(1, 3, 5), (1, 7, 4), (0, 37, 16), (0, 2, 1)]


def uniform(purpose: str, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    """float32 values in float64, the same bits in numpy and in JavaScript."""
    values = Rng(SEED, f"vit-traits/{purpose}").uniform(math.prod(shape), low, high)
    return torch.from_numpy(values.astype(np.float32)).double().reshape(shape)


@torch.no_grad()
def outputs(eps: float = 1e-6, **traits: Any) -> tuple[list[float], list[float]]:
    """Features, and the tokens of the patches."""
    model = VisionTransformer(**SIZE, **traits, norm_layer=partial(nn.LayerNorm, eps=eps)).double().eval()
    for name, value in model.state_dict().items():
        # Nothing is at 0 or 1, where mistakes hide.
        low, high = (0.5, 1.5) if name.endswith(("norm1.weight", "norm.weight", "gamma")) else (-0.5, 0.5)
        value.copy_(uniform(name, tuple(value.shape), low, high))
    tokens = model.forward_features(uniform("image", (BATCH, 3, SIDE, SIDE), -2, 2))
    patches = tokens[:, model.num_prefix_tokens :]
    return model.forward_head(tokens).flatten().tolist(), patches.flatten().tolist()


def positions(prefix: int, old: int, new: int) -> list[float]:
    # timm computes in float32.
    given = uniform("positions", (1, prefix + old**2, 3), -1, 1).float()
    return resample_abs_pos_embed(given, [new, new], num_prefix_tokens=prefix).flatten().tolist()


def shapes(name: str) -> dict[str, Any]:
    """Of the first block alone."""
    with torch.device("meta"):
        state = timm.create_model(name, pretrained=False).state_dict()
    depth = 1 + max(int(n.split(".")[1]) for n in state if n.startswith("blocks."))
    kept = {n: list(v.shape) for n, v in state.items() if not n.startswith("blocks.") or n.startswith("blocks.0.")}
    return {"depth": depth, "shapes": {n: s for n, s in kept.items() if ".backbone.stages" not in n}}


def main() -> None:
    torch.set_num_threads(1)
    made = {name: outputs(**traits) for name, traits in CASES.items()}
    out = {
        "timm": timm.__version__,
        **{"seed": SEED, "batch": BATCH, "side": SIDE, "patch": PATCH, "dim": DIM},
        "features": {name: features for name, (features, _) in made.items()},
        "tokens": {name: tokens for name, (_, tokens) in made.items()},
        "positions": [{"prefix": p, "from": a, "to": b, "values": positions(p, a, b)} for p, a, b in GRIDS],
        "read": {name: shapes(name) for name in READ},
        "refused": {name: shapes(name) for name in REFUSED},
    }
    path = Path(__file__).parent / "fixtures" / "vit-traits.json"
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(f"vit-traits: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
