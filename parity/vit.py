"""Makes parity/fixtures/vit.json: a small vision transformer with either stem in float64, and timm's names and shapes.

The model is written from the papers (arXiv 2010.11929, 2104.02057, 2106.14881) and compared with timm's VisionTransformer
of the same weights.
"""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from philox import Rng

SEED, BATCH, SAMPLE = 5, 3, 96
EPSILON = 1e-6
CASES = {
    "patch": {"dim": 48, "depth": 2, "heads": 3, "stem": "patch", "imageSize": 32, "patchSize": 8},
    "conv": {"dim": 48, "depth": 1, "heads": 3, "stem": "conv", "imageSize": 32, "patchSize": 8},
}
Params = dict[str, Tensor]


def uniform(purpose: str, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    """float32 values held in float64. Uniform, since those are the same bits in numpy and in JavaScript."""
    values = Rng(SEED, f"vit/{purpose}").uniform(math.prod(shape), low, high)
    return torch.from_numpy(values.astype(np.float32)).double().reshape(shape)


def shapes(spec: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    dim, patch = spec["dim"], spec["patchSize"]
    out: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, dim)}
    if spec["stem"] == "patch":
        out |= {"patch_embed.proj.weight": (dim, 3, patch, patch), "patch_embed.proj.bias": (dim,)}
    else:
        halvings, inputs = int(math.log2(patch)), 3
        for i in range(halvings):
            outputs = dim >> (halvings - 1 - i)
            out[f"patch_embed.proj.{3 * i}.weight"] = (outputs, inputs, 3, 3)
            for part in ("weight", "bias", "running_mean", "running_var"):
                out[f"patch_embed.proj.{3 * i + 1}.{part}"] = (outputs,)
            inputs = outputs
        out |= {f"patch_embed.proj.{3 * halvings}.weight": (dim, dim, 1, 1)}
        out |= {f"patch_embed.proj.{3 * halvings}.bias": (dim,)}
    layers = {"attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim), "mlp.fc1": (4 * dim, dim), "mlp.fc2": (dim, 4 * dim)}
    norms = [f"blocks.{i}.{n}" for i in range(spec["depth"]) for n in ("norm1", "norm2")] + ["norm"]
    for i in range(spec["depth"]):
        for name, shape in layers.items():
            out |= {f"blocks.{i}.{name}.weight": shape, f"blocks.{i}.{name}.bias": shape[:1]}
    for name in norms:
        out |= {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}
    return out


def weights(spec: dict[str, Any]) -> Params:
    """Nothing is at 0 or 1, where mistakes hide: vectors that scale are in [.5, 1.5), those that shift in [-.3, .3)."""
    out: Params = {}
    for name, shape in shapes(spec).items():
        if len(shape) > 1:
            bound = 1.0 if name == "cls_token" else math.sqrt(3 / math.prod(shape[1:]))
            out[name] = uniform(name, shape, -bound, bound)
        elif name.endswith(("weight", "running_var")):
            out[name] = uniform(name, shape, 0.5, 1.5)
        else:
            out[name] = uniform(name, shape, -0.3, 0.3)
    return out


def positions(dim: int, grid: int) -> Tensor:
    """MoCo v3's fixed positions [1, grid^2 + 1, dim], rounded to float32; zeros for the class token."""
    frequency = 10000.0 ** (-np.arange(dim // 4) / (dim // 4))
    row, column = (axis.reshape(-1, 1) * frequency for axis in np.mgrid[:grid, :grid].astype(np.float64))
    table = np.concatenate([np.sin(row), np.cos(row), np.sin(column), np.cos(column)], 1)
    return torch.from_numpy(np.concatenate([np.zeros((1, dim)), table]).astype(np.float32)).double()[None]


def embed(p: Params, spec: dict[str, Any], x: Tensor, training: bool) -> Tensor:
    name = "patch_embed.proj"
    if spec["stem"] == "patch":
        x = F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], stride=spec["patchSize"])
        return x.flatten(2).transpose(1, 2)
    last = 3 * int(math.log2(spec["patchSize"]))
    for i in range(0, last, 3):
        x = F.conv2d(x, p[f"{name}.{i}.weight"], stride=2, padding=1)
        bn = [p[f"{name}.{i + 1}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        x = F.batch_norm(x, bn[0].clone(), bn[1].clone(), *bn[2:], training=training).relu()
    return F.conv2d(x, p[f"{name}.{last}.weight"], p[f"{name}.{last}.bias"]).flatten(2).transpose(1, 2)


def forward(p: Params, spec: dict[str, Any], x: Tensor, training: bool = True) -> Tensor:
    """Class token and patches behind the last normalisation, [N, 1 + grid^2, D]."""
    dim, heads = spec["dim"], spec["heads"]

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (dim,), p[f"{name}.weight"], p[f"{name}.bias"], EPSILON)

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def attention(name: str, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in linear(f"{name}.qkv", x).chunk(3, -1))
        scores = q @ k.transpose(-1, -2) / math.sqrt(dim // heads)
        return linear(f"{name}.proj", (scores.softmax(-1) @ v).transpose(1, 2).flatten(2))

    tokens = embed(p, spec, x, training)
    x = torch.cat([p["cls_token"].expand(len(x), -1, -1), tokens], 1)
    x = x + positions(dim, spec["imageSize"] // spec["patchSize"]).to(x.dtype)
    for i in range(spec["depth"]):
        x = x + attention(f"blocks.{i}.attn", norm(f"blocks.{i}.norm1", x))
        inner = linear(f"blocks.{i}.mlp.fc1", norm(f"blocks.{i}.norm2", x))
        x = x + linear(f"blocks.{i}.mlp.fc2", inner / 2 * (1 + torch.erf(inner / math.sqrt(2))))
    return norm("norm", x)


def sample(value: Tensor) -> list[float]:
    flat, n = value.detach().flatten(), value.numel()
    return (flat if n <= SAMPLE else flat[torch.from_numpy(np.arange(SAMPLE) * 2654435761 % n)]).tolist()


def trainable(params: Params) -> list[str]:
    return [n for n in params if not n.endswith(("running_mean", "running_var"))]


def gradients(spec: dict[str, Any], dtype: torch.dtype) -> tuple[Tensor, Params]:
    """Of sum(features * upstream): the features in training mode, and gradients by parameters and image."""
    params = {n: v.to(dtype) for n, v in weights(spec).items()}
    params["x"] = uniform("picture", (BATCH, 3, spec["imageSize"], spec["imageSize"]), -2, 2).to(dtype)
    for n in trainable(params):
        params[n].requires_grad_()
    y = forward(params, spec, params["x"])[:, 0]
    (y * uniform("upstream", tuple(y.shape), -1, 1).to(dtype)).sum().backward()
    return y.detach(), {n: params[n].grad for n in trainable(params)}  # type: ignore[misc]


def make(spec: dict[str, Any]) -> dict[str, Any]:
    y, grads = gradients(spec, torch.float64)
    _, f32 = gradients(spec, torch.float32)
    image = uniform("picture", (BATCH, 3, spec["imageSize"], spec["imageSize"]), -2, 2)
    evaluation = forward(weights(spec), spec, image, training=False)
    return {
        "spec": spec,
        "features": y.flatten().tolist(),
        "evaluation": evaluation[:, 0].flatten().tolist(),
        "tokens": sample(evaluation[:, 1:].contiguous()),
        "gradients": {
            n: {
                "norm": float(g.norm()),
                "f32": float((f32[n].double() - g).norm() / g.norm()),
                "sample": sample(g),
            }
            for n, g in grads.items()
        },
    }


def against_timm(spec: dict[str, Any]) -> float:
    """The largest difference of features, tokens and gradients from timm's, relative to the largest value."""
    from timm.layers import build_sincos2d_pos_embed
    from timm.models.vision_transformer import VisionTransformer
    from torch import nn

    grid = spec["imageSize"] // spec["patchSize"]
    sizes = {"img_size": spec["imageSize"], "patch_size": spec["patchSize"], "embed_dim": spec["dim"]}
    model = VisionTransformer(
        **sizes, depth=spec["depth"], num_heads=spec["heads"], num_classes=0, norm_layer=partial(nn.LayerNorm, eps=EPSILON)
    )
    if spec["stem"] == "conv":
        layers: list[nn.Module] = []
        for i, width in enumerate(widths := [spec["dim"] // 4, spec["dim"] // 2, spec["dim"]]):
            layers += [nn.Conv2d(3 if i == 0 else widths[i - 1], width, 3, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.Conv2d(spec["dim"], spec["dim"], 1), nn.Flatten(2)]

        class Stem(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.proj = nn.Sequential(*layers)

            def forward(self, x: Tensor) -> Tensor:
                return self.proj(x).transpose(1, 2)

        model.patch_embed = Stem()
    table = positions(spec["dim"], grid)
    state = weights(spec) | {"pos_embed": table}
    missing = model.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys, missing
    assert all(n.endswith("num_batches_tracked") for n in missing.missing_keys), missing
    quarters = build_sincos2d_pos_embed([grid, grid], spec["dim"]).double().chunk(4, 1)
    theirs = torch.cat([quarters[i] for i in (0, 2, 1, 3)], 1)  # timm has both sines before both cosines
    print(f"  positions: {float((table[0, 1:] - theirs).abs().max()):.1e} from timm's")
    image = uniform("picture", (BATCH, 3, spec["imageSize"], spec["imageSize"]), -2, 2).requires_grad_()
    tokens = model.double().train().forward_features(image)
    y = tokens[:, 0]
    (y * uniform("upstream", tuple(y.shape), -1, 1)).sum().backward()
    ours, grads = gradients(spec, torch.float64)
    named = dict(model.named_parameters())
    pairs = [(y.detach(), ours), (image.grad, grads["x"])]
    pairs += [(tokens.detach(), forward(weights(spec), spec, image.detach()))]
    pairs += [(named[n].grad, g) for n, g in grads.items() if n != "x"]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def timm_names() -> dict[str, Any]:
    """Names and shapes of timm's models: what stands outside of the blocks, the first block, and the depth."""
    import timm

    out = {}
    for size in ("tiny", "small", "base", "large"):
        with torch.device("meta"):
            model = timm.create_model(f"vit_{size}_patch16_224", num_classes=0)
        state = {n: list(v.shape) for n, v in model.state_dict().items()}
        out[f"vit_{size}"] = {
            "depth": len(model.blocks),
            "parameters": sum(math.prod(s) for n, s in state.items() if n != "pos_embed"),
            "shapes": {n: s for n, s in state.items() if not n.startswith("blocks.") or n.startswith("blocks.0.")},
        }
    return out


def main() -> None:
    torch.set_num_threads(1)
    document = {"torch": torch.__version__.split("+")[0], "seed": SEED, "batch": BATCH, "sample": SAMPLE}
    document |= {"cases": {name: make(spec) for name, spec in CASES.items()}}
    for name, spec in CASES.items():
        print(f"{name}: {against_timm(spec):.1e} from timm's")
    document["timm"] = timm_names()
    path = Path(__file__).parent / "fixtures" / "vit.json"
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    print(f"vit: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
