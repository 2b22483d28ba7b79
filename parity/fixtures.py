"""Makes parity/fixtures/<case>.safetensors and .json: `python fixtures.py [CASE...]`.

`python fixtures.py --write-inputs CASE FOLDER` writes SPEC.json and IN.safetensors for `moco replay` and replay.py.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from cases import CASES, WEIGHT_SEED, Case
from compare import relative
from inputs import inputs
from philox import Rng
from replay import replay

FIXTURES = Path(__file__).parent / "fixtures"
GRAD_SAMPLE, STATE_SAMPLE, PROJECTIONS = 2048, 256, 8


def sample(value: Tensor, limit: int) -> Tensor:
    """All elements where there are at most `limit`, else those at (i * 2654435761) % n for i < limit."""
    flat, n = value.flatten(), value.numel()
    return flat.clone() if n <= limit else flat[torch.from_numpy(np.arange(limit) * 2654435761 % n)]


def project(name: str, value: Tensor) -> Tensor:
    """Sums of the elements under 8 sign vectors: bit j of word e set means -1 for element e in projection j."""
    flat = value.double().flatten().numpy()
    words = Rng(WEIGHT_SEED, f"signs/{name}").uint32(len(flat))
    return torch.tensor([float(np.where(words >> j & 1, -flat, flat).sum()) for j in range(PROJECTIONS)]).double()


def gradient_facts(name: str, reference: Tensor, f32: Tensor, channels_last: Tensor) -> dict[str, Any]:
    f32, channels_last = f32.double(), channels_last.double()
    error = project(name, f32) - project(name, reference)
    norm = float(reference.norm())
    return {
        "shape": list(reference.shape),
        "norm": norm,
        "f32": relative(f32, reference),
        "f32Sample": relative(sample(f32, GRAD_SAMPLE), sample(reference, GRAD_SAMPLE)),
        "f32Projections": float((error**2).mean().sqrt()) / norm,
        "f32ChannelsLast": relative(channels_last, reference),
    }


def is_buffer(name: str) -> bool:
    return name.endswith(("running_mean", "running_var"))


def end_state(run: str, out: dict[str, Tensor]) -> dict[str, Tensor]:
    """Queue and BN buffers whole in float32, parameters as samples in the run's own precision."""
    state = {f"{run}/loss": out["loss"].double(), f"{run}/queue": out["queue"].float()}
    state[f"{run}/queue_ptr"] = out["queue_ptr"]
    for name, value in out.items():
        if name.startswith(("q.", "k.")):
            state[f"{run}/{name}"] = value.float() if is_buffer(name) else sample(value, STATE_SAMPLE)
    return state


def drift(given: dict[str, Tensor], f32: dict[str, Tensor], f64: dict[str, Tensor]) -> dict[str, Any]:
    """How far PyTorch float32 is from float64 after the last step. Parameters: relative to what training changed."""
    loss = ((f32["loss"].double() - f64["loss"]).abs() / f64["loss"]).tolist()
    result: dict[str, Any] = {
        "lossMax": max(loss),
        "loss": loss,
        "queue": relative(f32["queue"].double(), f64["queue"]),
    }
    for side in "qk":
        buffers, parameters = {}, {}
        for name in (n for n in f64 if n.startswith(f"{side}.")):
            a, b = f32[name].double(), f64[name]
            start = given[f"q{name[1:]}"].double()
            (buffers if is_buffer(name) else parameters)[name] = (
                relative(a, b) if is_buffer(name) else relative(a - start, b - start)
            )
        result[side] = {"bufferMax": max(buffers.values()), "changeMax": max(parameters.values())}
    return result


def input_facts(given: dict[str, Tensor]) -> dict[str, list[float]]:
    """[norm, first, last] of generated tensors, so that a reader can check its own generator."""
    names = [n for n in given if n.startswith(("q.", "queue")) and not given[n].unique().numel() == 1]
    names += ["xq.0", "xk.0"]
    facts = {n: given[n].double().flatten() for n in names}
    return {n: [float(v.norm()), float(v[0]), float(v[-1])] for n, v in facts.items()}


def make(name: str, case: Case) -> None:
    given = inputs(WEIGHT_SEED, case.view_seed, case.spec, case.batch, case.size)
    started = time.perf_counter()
    f32 = replay(case.spec, given)
    f64 = replay(case.spec, given, torch.float64)
    channels_last = replay(replace(case.spec, steps=1), given, channels_last=True)
    names = [n[5:] for n in f64 if n.startswith("grad.")]
    tensors = end_state("f64", f64) | end_state("f32", f32)
    facts = {}
    for n in names:
        grad = f"grad.{n}"
        tensors[f"f64/{grad}"] = sample(f64[grad], GRAD_SAMPLE)
        tensors[f"f64/projections.{n}"] = project(n, f64[grad])
        facts[n] = gradient_facts(n, f64[grad], f32[grad], channels_last[grad])
    document = {
        "spec": asdict(case.spec),
        "seed": WEIGHT_SEED,
        "viewSeed": case.view_seed,
        "batch": case.batch,
        "size": case.size,
        "torch": torch.__version__.split("+")[0],
        "sample": {"gradient": GRAD_SAMPLE, "state": STATE_SAMPLE},
        "inputs": input_facts(given),
        "perm": given["perm.0"].tolist() if "perm.0" in given else None,
        "drift": drift(given, f32, f64),
        "gradients": facts,
    }
    save_file({n: v.contiguous() for n, v in tensors.items()}, FIXTURES / f"{name}.safetensors")
    (FIXTURES / f"{name}.safetensors").chmod(0o644)
    (FIXTURES / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    worst = max(facts, key=lambda n: facts[n]["f32"])
    print(f"{name}: {time.perf_counter() - started:.0f} s, loss drift {document['drift']['lossMax']:.1e},", end=" ")
    print(f"gradient errors up to {facts[worst]['f32']:.1e} ({worst})")


def write_inputs(case: Case, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SPEC.json").write_text(json.dumps(asdict(case.spec), indent=2) + "\n")
    given = inputs(WEIGHT_SEED, case.view_seed, case.spec, case.batch, case.size)
    save_file({n: v.contiguous() for n, v in given.items()}, folder / "IN.safetensors")


def main(args: list[str]) -> None:
    if args[:1] == ["--write-inputs"]:
        write_inputs(CASES[args[1]], Path(args[2]))
        return
    FIXTURES.mkdir(exist_ok=True)
    for name in args or CASES:
        make(name, CASES[name])


if __name__ == "__main__":
    main(sys.argv[1:])
