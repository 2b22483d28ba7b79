"""Compares two OUT files of `moco replay`: python compare.py A.safetensors REFERENCE.safetensors; prints JSON."""

from __future__ import annotations

import json
import sys

import torch
from safetensors.torch import load_file
from torch import Tensor


def relative(a: Tensor, b: Tensor) -> float:
    """||a - b|| / ||b||, or ||a - b|| where b is 0."""
    error, norm = float((a - b).norm()), float(b.norm())
    return error / norm if norm else error


def compare(a: dict[str, Tensor], b: dict[str, Tensor]) -> dict[str, object]:
    if a.keys() != b.keys():
        raise ValueError(f"only in one file: {sorted(a.keys() ^ b.keys())}")
    a, b = ({n: v.double() for n, v in side.items()} for side in (a, b))
    result: dict[str, object] = {"loss": ((a["loss"] - b["loss"]).abs() / b["loss"].abs()).tolist()}
    for group in ("grad.", "q.", "k.", "queue"):
        errors = {n: relative(a[n], b[n]) for n in b if n.startswith(group)}
        worst = max(errors, key=errors.__getitem__)
        result[group] = {"worst": worst, "relativeL2": errors[worst]}
    grads = [n for n in b if n.startswith("grad.")]
    result["leastCosine"] = min(
        float(torch.nn.functional.cosine_similarity(a[n].flatten(), b[n].flatten(), 0)) for n in grads
    )
    return result


if __name__ == "__main__":
    print(json.dumps(compare(load_file(sys.argv[1]), load_file(sys.argv[2])), indent=2))
