"""The PyTorch twin of `moco replay`: python replay.py SPEC.json --in IN.safetensors --out OUT.safetensors"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from moco_torch import Moco, Spec, named_state


def load_weights(moco: Moco, tensors: dict[str, Tensor]) -> None:
    """Loads `q.*`, `queue` and, if there, `k.*`; else k is made equal to q. Names must match."""
    names = {n for n, _ in named_state(moco.q)}
    sides: dict[str, dict[str, Tensor]] = {}
    for side in "qk":
        given = {n[2:]: v for n, v in tensors.items() if n.startswith(f"{side}.") and "num_batches" not in n}
        if names != given.keys() and (given or side == "q"):
            missing, unknown = sorted(names - given.keys()), sorted(given.keys() - names)
            raise ValueError(f"{side}.*: missing {missing}, unknown {unknown}")
        sides[side] = given
    moco.q.load_state_dict(sides["q"], strict=False)
    if tensors["queue"].shape != moco.queue.shape:
        raise ValueError(f"queue is {list(tensors['queue'].shape)}, not [dim, K] = {list(moco.queue.shape)}")
    moco.queue.copy_(tensors["queue"])
    moco.start(k=sides["k"] or None)


def replay(
    spec: Spec, tensors: dict[str, Tensor], dtype: torch.dtype = torch.float32, channels_last: bool = False
) -> dict[str, Tensor]:
    """OUT of README.md from IN: trains on the given batches from the given weights."""
    moco = Moco(spec, dtype, channels_last)
    load_weights(moco, tensors)
    steps = spec.steps if spec.steps is not None else sum(n.startswith("xq.") for n in tensors)
    losses: list[Tensor] = []
    out: dict[str, Tensor] = {}
    for i in range(steps):
        loss, _ = moco.step(tensors[f"xq.{i}"].to(dtype), tensors[f"xk.{i}"].to(dtype), tensors.get(f"perm.{i}"))
        losses.append(loss)
        if i == 0:
            out |= {f"grad.{n}": p.grad.contiguous().clone() for n, p in moco.q.named_parameters()}
    out["loss"] = torch.stack(losses)
    out |= {f"q.{n}": v.contiguous() for n, v in named_state(moco.q)}
    out |= {f"k.{n}": v.contiguous() for n, v in named_state(moco.k)}
    out["queue"] = moco.queue
    out["queue_ptr"] = torch.tensor([moco.ptr])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--in", dest="input", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    args = parser.parse_args()
    spec = Spec.from_json(json.loads(args.spec.read_text()))
    save_file(replay(spec, load_file(args.input), getattr(torch, args.dtype)), args.out)


if __name__ == "__main__":
    main()
