"""The set-ups of the fixtures. README.md says why they are as they are."""

from __future__ import annotations

from dataclasses import dataclass

from moco_torch import Spec

WEIGHT_SEED = 1  # weights, queue, permutations and sign vectors


@dataclass(frozen=True)
class Case:
    spec: Spec
    view_seed: int  # from find_view_seed.py
    batch: int = 32
    size: int = 16


def _spec(method: str, lr: float, **rest: object) -> Spec:
    # m and wd are stronger than in training, so that 20 steps show whether and when they are applied.
    return Spec(method=method, K=512, m=0.99, lr=lr, wd=1e-2, **rest)  # type: ignore[arg-type]


CASES = {
    "v1": Case(_spec("moco-v1", 3e-4, steps=20), 1259),
    "v2": Case(_spec("moco-v2", 2e-3, steps=20), 1259),
    "v2-plain": Case(_spec("moco-v2", 3e-3, bn="plain", steps=4), 16, batch=16),
    "v2-symmetric": Case(_spec("moco-v2", 3e-3, bnSplits=4, symmetric=True, steps=4), 1938, batch=16),
    "v2-symmetric-20": Case(_spec("moco-v2", 1e-3, bnSplits=4, symmetric=True, steps=20), 1938, batch=16),
}
