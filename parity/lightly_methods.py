"""Twenty steps of BYOL and SimSiam with lightly's heads, losses, EMA update and LARS, in float64 and in float32, on a tiny ResNet.

Makes fixtures/lightly.json, the peer of examples/method-byol and examples/method-simsiam: for each the settings, the losses
in float64, and how far PyTorch's own float32 is from them. Weights and views come from seeds (README.md).
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import lightly
import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import (
    BYOLPredictionHead,
    BYOLProjectionHead,
    SimSiamPredictionHead,
    SimSiamProjectionHead,
)
from lightly.models.utils import update_momentum
from lightly.utils.lars import LARS
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn

from inputs import views
from steps import RESNET, SEED, backbone, seed_weights

STEPS, BATCH, VIEW_SEED = 20, 16, 1
CASES: dict[str, dict[str, Any]] = {
    "byol": {"net": RESNET, "hidden": 64, "dim": 32, "momentum": 0.9, "lr": 0.1, "wd": 1e-6},
    # The rate of the encoder falls by half a cosine, that of the predictor stays.
    "simsiam": {"net": RESNET, "hidden": 64, "dim": 32, "bottleneck": 16, "lr": 0.02, "wd": 1e-4},
}


class Branch(nn.Module):
    """A backbone and its projector, which the project names `fc`."""

    def __init__(self, spec: dict[str, Any], head: type[nn.Module]) -> None:
        super().__init__()
        self.body, width = backbone(spec["net"])
        self.body.fc = nn.Identity()
        self.head = head(width, spec["hidden"], spec["dim"])
        seed_weights(self.body)
        seed_weights(self.head.layers, "fc.")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def predictor_of(head: nn.Module, dtype: torch.dtype) -> nn.Module:
    seed_weights(head.layers, "predictor.")
    return head.to(dtype).train()


def byol(spec: dict[str, Any], dtype: torch.dtype) -> list[float]:
    online = Branch(spec, BYOLProjectionHead).to(dtype).train()
    predictor = predictor_of(BYOLPredictionHead(spec["dim"], spec["hidden"], spec["dim"]), dtype)
    target = copy.deepcopy(online).requires_grad_(False)
    params = [*online.parameters(), *predictor.parameters()]
    # Vectors are neither decayed nor scaled.
    groups = [
        {"params": [p for p in params if p.dim() > 1], "weight_decay": spec["wd"]},
        {"params": [p for p in params if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = LARS(groups, lr=spec["lr"], momentum=0.9)
    criterion, losses = NegativeCosineSimilarity(), []
    for step in range(STEPS):
        update_momentum(online, target, cosine_schedule(step, STEPS + 1, spec["momentum"], 1.0))
        x0, x1 = (x.to(dtype) for x in views(VIEW_SEED, step, BATCH, spec["net"]["size"]))
        with torch.no_grad():
            z0, z1 = target(x0), target(x1)
        # 2 - 2 cos, for both directions.
        loss = 4 + 2 * (criterion(predictor(online(x0)), z1) + criterion(predictor(online(x1)), z0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def simsiam(spec: dict[str, Any], dtype: torch.dtype) -> list[float]:
    online = Branch(spec, SimSiamProjectionHead).to(dtype).train()
    predictor = predictor_of(SimSiamPredictionHead(spec["dim"], spec["bottleneck"], spec["dim"]), dtype)
    groups = [{"params": list(online.parameters())}, {"params": list(predictor.parameters())}]
    optimizer = torch.optim.SGD(groups, lr=spec["lr"], momentum=0.9, weight_decay=spec["wd"])
    criterion, losses = NegativeCosineSimilarity(), []
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = spec["lr"] * (1 + math.cos(math.pi * step / STEPS)) / 2
        x0, x1 = (x.to(dtype) for x in views(VIEW_SEED, step, BATCH, spec["net"]["size"]))
        z0, z1 = online(x0), online(x1)
        p0, p1 = predictor(z0), predictor(z1)
        loss = 0.5 * (criterion(p0, z1.detach()) + criterion(p1, z0.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    cases = {}
    for name, spec in CASES.items():
        run = {"byol": byol, "simsiam": simsiam}[name]
        f32, f64 = run(spec, torch.float32), run(spec, torch.float64)
        # Of cosines, whose loss may be 0: relative to 1 at least.
        drift = [abs(a - b) / max(1.0, abs(b)) for a, b in zip(f32, f64)]
        cases[name] = {"spec": spec, "losses": f64, "drift": drift}
        print(f"{name}: loss {f64[0]:.4f} to {f64[-1]:.4f}, drift {max(drift):.1e}")
    versions = {"torch": torch.__version__.split("+")[0], "lightly": lightly.__version__}
    head = versions | {"seed": SEED, "viewSeed": VIEW_SEED, "steps": STEPS, "batch": BATCH}
    path = Path(__file__).parent / "fixtures" / "lightly.json"
    path.write_text(json.dumps(head | {"cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
