"""Mixed precision: PyTorch's rounding to bfloat16 and float16, and twenty steps under its autocast(bfloat16) on a CPU.

Makes fixtures/precision.json. `rounding`: float32 numbers and what PyTorch makes of them. `cases`, for some of steps.py's
with its view seeds: the losses under autocast, how far they are from PyTorch's own float32 (`drift`), and of each gradient of
step 0 how far it is from float64 (`gradients`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from philox import Rng
from steps import BATCH, CASES, SEED, STEPS, noise, run

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = ["v3-vit", "v3-resnet", "simclr"]


def rounding() -> dict[str, Any]:
    """Numbers of all magnitudes; ties, and their neighbours; the ends of both ranges."""
    stream = Rng(SEED, "rounding")
    drawn = stream.normal(200) * 2.0 ** stream.uniform(200, -30, 20)
    ties = [1 + k * 2.0**-p + e for p in (8, 9, 11, 12) for k in (1, 3, 5) for e in (0, 2.0**-20, -(2.0**-20))]
    ends = [65504, 65519.99, 65520, 65536, 3.3895e38, 3.3961e38, 3.4e38, 2.0**-14, 2.0**-24, 2.0**-25, 3 * 2.0**-26, 1e-9]
    values = np.array([*drawn, *ties, *ends], np.float32)
    x = torch.from_numpy(np.concatenate([values, -values]))

    def listed(y: torch.Tensor) -> list[float | str]:
        return [v if np.isfinite(v) else str(v) for v in y.double().tolist()]

    return {"x": listed(x), "bfloat16": listed(x.bfloat16()), "float16": listed(x.half())}


def distances(gradients: dict[str, torch.Tensor], exact: dict[str, torch.Tensor]) -> dict[str, float]:
    skipped = noise(exact)
    return {n: float((gradients[n] - g).norm() / g.norm()) for n, g in exact.items() if n not in skipped}


def make(name: str, view_seed: int) -> dict[str, Any]:
    spec = CASES[name]
    f64, f32 = (run(spec, view_seed, dtype) for dtype in (torch.float64, torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = run(spec, view_seed, torch.float32)
    drift = [abs(a - b) / b for a, b in zip(mixed["losses"], f32["losses"])]
    return {
        "losses": mixed["losses"],
        "drift": drift,
        "gradients": distances(mixed["gradients"], f64["gradients"]),
    }


def main() -> None:
    seeds = {n: case["viewSeed"] for n, case in json.loads((FIXTURES / "steps.json").read_text())["cases"].items()}
    cases = {name: make(name, seeds[name]) for name in NAMES}
    for name, case in cases.items():
        worst = sorted(case["gradients"].values())
        print(f"{name}: drift {max(case['drift']):.1e}, gradients {worst[len(worst) // 2]:.1e}, at most {worst[-1]:.1e}")
    head = {"torch": torch.__version__.split("+")[0], "seed": SEED, "steps": STEPS, "batch": BATCH}
    path = FIXTURES / "precision.json"
    path.write_text(json.dumps(head | {"rounding": rounding(), "cases": cases}, separators=(",", ":")) + "\n")
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
