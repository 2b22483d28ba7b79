"""Weights, queue, batches and permutations of a fixture from its seeds, by the rules in README.md."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from moco_torch import Spec, build_encoder, named_state
from philox import Rng

GRID = 8  # the coarse pattern that both views of an image share


def _tensor(values: np.ndarray, *shape: int) -> Tensor:
    return torch.from_numpy(values.reshape(shape).astype(np.float32))


def weights(seed: int, spec: Spec) -> dict[str, Tensor]:
    """`q.<name>`: torchvision's distributions, float32, one stream per tensor."""
    out: dict[str, Tensor] = {}
    fan_in = 0
    for name, value in named_state(build_encoder(spec.arch, spec.stem, spec.dim, bool(spec.mlp))):
        shape = value.shape
        if name.startswith("fc."):
            fan_in = shape[1] if len(shape) == 2 else fan_in  # a bias follows its weight
            bound = 1 / math.sqrt(fan_in)
            out[f"q.{name}"] = _tensor(Rng(seed, f"init/{name}").uniform(value.numel(), -bound, bound), *shape)
        elif len(shape) == 4:
            std = math.sqrt(2 / (shape[0] * shape[2] * shape[3]))
            out[f"q.{name}"] = _tensor(Rng(seed, f"init/{name}").normal(value.numel()) * std, *shape)
        else:
            out[f"q.{name}"] = torch.full(shape, float(name.endswith((".weight", ".running_var"))))
    return out


def queue(seed: int, dim: int, size: int) -> Tensor:
    noise = Rng(seed, "queue").normal(dim * size).reshape(dim, size)
    return _tensor(noise / np.sqrt((noise**2).sum(0)), dim, size)


def views(seed: int, step: int, batch: int, size: int) -> tuple[Tensor, Tensor]:
    """Two views [batch, 3, size, size]: half a shared GRID x GRID normal pattern, enlarged, + own normal noise."""
    base = Rng(seed, "x/base", step).normal(batch * 3 * GRID * GRID).reshape(batch, 3, GRID, GRID)
    base = base.repeat(size // GRID, 2).repeat(size // GRID, 3)
    q, k = (0.5 * base + Rng(seed, f"x/{side}", step).normal(base.size).reshape(base.shape) for side in "qk")
    return _tensor(q, *base.shape), _tensor(k, *base.shape)


def inputs(seed: int, view_seed: int, spec: Spec, batch: int, size: int) -> dict[str, Tensor]:
    """The whole IN of `moco replay`. Split and shuffled BN come with permutations, the others without."""
    out = weights(seed, spec) | {"queue": queue(seed, spec.dim, spec.K)}
    for i in range(spec.steps or 0):
        out[f"xq.{i}"], out[f"xk.{i}"] = views(view_seed, i, batch, size)
        if spec.bn in ("split", "shuffle"):
            out[f"perm.{i}"] = torch.from_numpy(Rng(seed, "perm", i).permutation(batch))
    return out
