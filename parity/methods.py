"""MoCo v3, SimCLR, InstDisc, SEED (distillation), and MoCo v2, InstDisc and SEED with accumulated gradients, in plain float64 PyTorch,
from the papers' formulas, on a net of two convolutions.

Makes fixtures/methods.json: for each case its settings, the losses of all steps, the gradients of step 0, and the whole
state after the last step. methods_check.py compares parts of this with lightly's and timm's.

Constants that a graph holds as float32 (trust coefficient, the momenta of SGD, LARS and running estimates) are rounded
here too; the others were chosen to be exact in float32.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moco_torch import v3_head
from philox import Rng

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

SEED, STEPS, BATCH, SIZE = 3, 6, 8, 8


def f32(value: float) -> float:
    return float(np.float32(value))


V3 = {"method": "moco-v3", "hidden": 12, "dim": 8, "momentum": 0.75}
BANK = {"method": "instdisc", "dim": 8, "mlp": False, "slots": 32, "negatives": 8, "bankMomentum": 0.5}
QUEUE = {"method": "moco-v2", "dim": 8, "mlp": True, "queueSize": 32, "momentum": 0.75, "temperature": 0.25}
DISTILL = {"method": "distill", "dim": 8, "mlp": True, "queueSize": 32, "temperature": 0.2, "teacherTemperature": 0.01}
ADAMW = {"name": "adamw", "betas": [0.75, 0.875], "epsilon": 2**-26, "weightDecay": 0.125}
LARS = {"name": "lars", "momentum": 0.9, "weightDecay": 2**-6, "trustCoefficient": 0.001}
SGD = {"name": "sgd", "momentum": 0.9, "weightDecay": 2**-9}
CASES: dict[str, dict[str, Any]] = {
    "v3-resnet": V3
    | {"projectorLayers": 2, "predictorLayers": 2, "predictorNorm": False, "temperature": 1.0, "frozen": []}
    | {"optimizer": LARS, "lr": 16.0},
    "v3-vit": V3
    | {"projectorLayers": 3, "predictorLayers": 2, "predictorNorm": True, "temperature": 0.25}
    | {"frozen": ["conv1.weight"], "optimizer": ADAMW, "lr": 2**-7},
    "simclr": {"method": "simclr", "dim": 8, "mlp": True, "temperature": 0.5, "optimizer": LARS, "lr": 16.0},
    "instdisc-nce": BANK
    | {"draw": "image", "loss": "nce", "temperature": 0.25, "proximal": 0.5, "optimizer": ADAMW, "lr": 2**-7},
    "instdisc-infonce": BANK
    | {"draw": "batch", "loss": "infonce", "temperature": 0.25, "proximal": 0.0, "optimizer": SGD, "lr": 0.0625},
    # Gradients of micro-batches summed by backward(); one EMA update, optimizer step and enqueue or bank update per batch.
    "moco-accumulate": QUEUE | {"symmetric": False, "accumulate": 2, "optimizer": SGD, "lr": 0.0625},
    "moco-symmetric-accumulate": QUEUE
    | {"queueSize": 80, "symmetric": True, "accumulate": 4, "optimizer": ADAMW, "lr": 2**-7},
    "instdisc-accumulate": BANK
    | {"draw": "image", "loss": "nce", "temperature": 0.25, "proximal": 0.5, "optimizer": SGD, "lr": 0.0625}
    | {"accumulate": 2},
    "distill": DISTILL | {"optimizer": SGD, "lr": 0.0625},
    "distill-accumulate": DISTILL | {"accumulate": 2, "optimizer": ADAMW, "lr": 2**-7},
}


class Lars(torch.optim.Optimizer):
    """LARS as in SimCLR and MoCo v3: the trust ratio |p| / |d| of the decayed gradient d, not for vectors."""

    def __init__(self, params: Any, lr: float, momentum: float, weight_decay: float, trust: float) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                change = p.grad.clone()
                if p.dim() > 1:
                    change += group["weight_decay"] * p
                    length, size = float(change.norm()), float(p.norm())
                    if length > 0 and size > 0:
                        change *= group["trust"] * size / length
                mu = self.state[p].setdefault("mu", torch.zeros_like(p))
                mu.mul_(group["momentum"]).add_(change)
                p -= group["lr"] * mu


class Rounded(nn.Module):
    """Mixed into a normalisation: PyTorch's running estimates, but with .9 and .1 as the float32 that a graph holds."""

    def forward(self, x: Tensor) -> Tensor:
        before = [value.clone() for value in (self.running_mean, self.running_var)]
        y = super().forward(x)
        count = x.numel() / x.shape[1]
        with torch.no_grad():
            for old, value, factor in zip(before, (self.running_mean, self.running_var), (1, count / (count - 1))):
                seen = (value - 0.9 * old) / 0.1
                value.data.copy_(f32(0.9) * old + f32(0.1 * factor) / factor * seen)
        return y


class Norm1d(Rounded, nn.BatchNorm1d):
    pass


class Norm2d(Rounded, nn.BatchNorm2d):
    pass


class Tiny(nn.Module):
    """Two convolutions with batch normalisation, the mean over the map, and a head named `fc`."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = Norm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.bn2 = Norm2d(6)
        if spec["method"] == "moco-v3":
            self.fc: nn.Module = v3_head(spec["projectorLayers"], 6, spec["hidden"], spec["dim"], True, Norm1d)
        elif spec["mlp"]:
            self.fc = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, spec["dim"]))
        else:
            self.fc = nn.Linear(6, spec["dim"])

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return self.fc(y.mean((2, 3)))


@torch.no_grad()
def seed_weights(module: nn.Module, prefix: str = "") -> None:
    """The weights of packages/core from the same streams, rounded to float32 as there."""
    for path, part in module.named_modules():
        for kind, value in part.named_parameters(recurse=False):
            name = f"{prefix}{path}.{kind}"
            stream = Rng(SEED, f"init/{name}")
            if isinstance(part, nn.Conv2d):
                drawn = stream.normal(value.numel()) * math.sqrt(2 / (value.shape[0] * 9))
            elif isinstance(part, nn.Linear):
                bound = 1 / math.sqrt(part.in_features)
                drawn = stream.uniform(value.numel(), -bound, bound)
            else:
                continue
            value.copy_(torch.from_numpy(drawn.astype(np.float32).astype(np.float64)).view(value.shape))


def views(step: int) -> tuple[Tensor, Tensor]:
    """Two views: a pattern that both share, and noise of each one's own, uniform in [-1, 1)."""
    n = BATCH * 3 * SIZE * SIZE
    base = Rng(SEED, "x/base", step).uniform(n, -1, 1)
    q, k = ((base + Rng(SEED, f"x/{side}", step).uniform(n, -1, 1)).astype(np.float32) for side in "qk")
    return tuple(torch.from_numpy(x.astype(np.float64)).view(BATCH, 3, SIZE, SIZE) for x in (q, k))  # type: ignore


def optimizer_of(spec: dict[str, Any], params: list[nn.Parameter]) -> torch.optim.Optimizer:
    o, lr = spec["optimizer"], spec["lr"]
    if o["name"] == "lars":
        return Lars(params, lr, f32(o["momentum"]), o["weightDecay"], f32(o["trustCoefficient"]))
    if o["name"] == "adamw":
        return torch.optim.AdamW(
            params, lr=lr, betas=tuple(o["betas"]), eps=o["epsilon"], weight_decay=o["weightDecay"]
        )
    return torch.optim.SGD(params, lr=lr, momentum=f32(o["momentum"]), weight_decay=o["weightDecay"])


SLOTS = {
    "lars": {"mu": "mu"},
    "adamw": {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"},
    "sgd": {"momentum": "momentum_buffer"},
}


def nt_xent(first: Tensor, second: Tensor, t: float) -> Tensor:
    """SimCLR, eq. 1, term by term."""
    z = torch.cat([first, second])
    n = len(first)
    total = torch.zeros(())
    for i in range(2 * n):
        similar = (z @ z[i]) / t
        others = torch.cat([similar[:i], similar[i + 1 :]])
        total = total - torch.log(similar[(i + n) % (2 * n)].exp() / others.exp().sum())
    return total / (2 * n)


class Bank:
    """InstDisc's memory bank and losses."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec, self.z = spec, 0.0
        noise = Rng(SEED, "bank").normal(spec["slots"] * spec["dim"]).reshape(spec["slots"], spec["dim"])
        unit = noise / np.sqrt((noise**2).sum(1, keepdims=True))
        self.features = torch.from_numpy(unit.astype(np.float32).astype(np.float64))

    def loss(self, v: Tensor, index: Tensor, negatives: Tensor) -> Tensor:
        spec, n, k = self.spec, self.spec["slots"], self.spec["negatives"]
        own = self.features[index]
        noise = self.features[negatives if negatives.dim() == 2 else negatives.expand(len(v), k)]
        positive = torch.exp((v * own).sum(1) / spec["temperature"])
        others = torch.exp(torch.einsum("nd,nkd->nk", v, noise) / spec["temperature"])
        if spec["loss"] == "nce":
            self.z = self.z or float(n * others.detach().mean())
            p, p_others = positive / self.z, others / self.z
            h, h_others = p / (p + k / n), p_others / (p_others + k / n)
            loss = (-h.log() - (1 - h_others).log().sum(1)).mean()
        else:
            loss = -(positive / (positive + others.sum(1))).log().mean()
        return loss + spec["proximal"] * ((v - own) ** 2).sum(1).mean()

    @torch.no_grad()
    def remember(self, v: Tensor, index: Tensor) -> None:
        m = self.spec["bankMomentum"]
        for i, feature in zip(index.tolist(), v):
            mixed = m * self.features[i] + (1 - m) * feature
            self.features[i] = mixed / mixed.norm()


def noise(purpose: str, dim: int, count: int) -> Tensor:
    """Columns of unit length, [dim, count]: random points on the sphere, rounded as a state of float32 is."""
    drawn = Rng(SEED, purpose).normal(dim * count).reshape(dim, count)
    unit = drawn / np.sqrt((drawn**2).sum(0, keepdims=True))
    return torch.from_numpy(unit.astype(np.float32).astype(np.float64))


def taught(step: int, batch: int, dim: int) -> Tensor:
    """What a teacher gives: features that are much alike, so that its softmax at T .01 is no single one."""
    drawn = 1 + 0.2 * Rng(SEED, "teacher", step).normal(batch * dim)
    return torch.from_numpy(drawn.astype(np.float32).astype(np.float64)).view(batch, dim)


class Teacher:
    """SEED's queue of teacher features, and its loss (section 3.2) term by term."""

    def __init__(self, spec: dict[str, Any], dtype: torch.dtype = torch.float64) -> None:
        self.spec, self.ptr = spec, 0
        self.queue = noise("queue", spec["dim"], spec["queueSize"]).to(dtype)

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        total = torch.zeros((), dtype=student.dtype)
        for z_s, z_t in zip(student, teacher):
            known = torch.cat([z_t[None], self.queue.T])
            p_t = torch.softmax(known @ z_t / self.spec["teacherTemperature"], 0)
            p_s = torch.softmax(known @ z_s / self.spec["temperature"], 0)
            total = total - (p_t * p_s.log()).sum()
        return total / len(student)

    def remember(self, teacher: Tensor) -> None:
        for z_t in teacher:
            self.queue[:, self.ptr] = z_t
            self.ptr = (self.ptr + 1) % self.spec["queueSize"]


class Queue:
    """MoCo's key encoder and queue. Keys wait in `waiting` until the update is over."""

    def __init__(self, spec: dict[str, Any], q: nn.Module) -> None:
        self.spec, self.q, self.ptr = spec, q, 0
        self.k = Tiny(spec)
        self.k.load_state_dict(q.state_dict())
        self.k.requires_grad_(False)
        self.keys = noise("queue", spec["dim"], spec["queueSize"])
        self.waiting: list[list[Tensor]] = [[], []]

    @torch.no_grad()
    def follow(self) -> None:
        m = self.spec["momentum"]
        for name, value in self.k.named_parameters():
            value.copy_(m * value + (1 - m) * self.q.get_parameter(name))

    def loss(self, xq: Tensor, xk: Tensor) -> Tensor:
        total = torch.zeros(())
        for direction, (a, b) in enumerate([(xq, xk), (xk, xq)][: 2 if self.spec["symmetric"] else 1]):
            key = F.normalize(self.k(b), dim=1)
            query = F.normalize(self.q(a), dim=1)
            logits = torch.cat([(query * key).sum(1, keepdim=True), query @ self.keys], 1) / self.spec["temperature"]
            total = total + F.cross_entropy(logits, torch.zeros(len(a), dtype=torch.long))
            self.waiting[direction].append(key)
        return total

    def enqueue(self) -> None:
        """The keys of the first view, which are the second direction's, before those of the second."""
        for key in torch.cat([*self.waiting[1], *self.waiting[0]]):
            self.keys[:, self.ptr] = key
            self.ptr = (self.ptr + 1) % self.spec["queueSize"]
        self.waiting = [[], []]


def run(spec: dict[str, Any]) -> dict[str, Any]:
    method, t, pieces = spec["method"], spec["temperature"], spec.get("accumulate", 1)
    q = Tiny(spec)
    seed_weights(q)
    trained = dict(q.named_parameters())
    modules: dict[str, nn.Module] = {"q.": q}
    if method == "moco-v3":
        k = Tiny(spec)
        k.load_state_dict(q.state_dict())
        k.requires_grad_(False)
        dim = spec["dim"]
        predictor = v3_head(spec["predictorLayers"], dim, spec["hidden"], dim, spec["predictorNorm"], Norm1d)
        seed_weights(predictor, "predictor.")
        trained |= {f"predictor.{name}": value for name, value in predictor.named_parameters()}
        modules |= {"k.": k, "predictor.": predictor}
        for name in spec["frozen"]:
            trained.pop(name).requires_grad_(False)
    bank = Bank(spec) if method == "instdisc" else None
    queue = Queue(spec, q) if method == "moco-v2" else None
    teacher = Teacher(spec) if method == "distill" else None
    if queue:
        modules["k."] = queue.k
    optimizer = optimizer_of(spec, list(trained.values()))

    losses: list[float] = []
    gradients: dict[str, list[float]] = {}
    for step in range(STEPS):
        xq, xk = views(step)
        micro = [slice(i * BATCH // pieces, (i + 1) * BATCH // pieces) for i in range(pieces)]
        if method == "moco-v3":
            m = 1 - (1 - spec["momentum"]) * (1 + math.cos(math.pi * step / STEPS)) / 2
            with torch.no_grad():
                for name, value in k.named_parameters():
                    value.copy_(m * value + (1 - m) * q.get_parameter(name))
                k1, k2 = F.normalize(k(xq), dim=1), F.normalize(k(xk), dim=1)
            q1, q2 = F.normalize(predictor(q(xq)), dim=1), F.normalize(predictor(q(xk)), dim=1)
            labels = torch.arange(BATCH)
            parts = [2 * t * (F.cross_entropy(q1 @ k2.T / t, labels) + F.cross_entropy(q2 @ k1.T / t, labels))]
        elif method == "simclr":
            z = F.normalize(q(torch.cat([xq, xk])), dim=1)
            parts = [nt_xent(z[:BATCH], z[BATCH:], t)]
        elif queue:
            queue.follow()
            parts = [queue.loss(xq[s], xk[s]) for s in micro]
        elif teacher:
            seen = F.normalize(taught(step, BATCH, spec["dim"]), dim=1)
            parts = [teacher.loss(F.normalize(q(xq[s]), dim=1), seen[s]) for s in micro]
        else:
            assert bank is not None
            index = torch.from_numpy(Rng(SEED, "index", step).permutation(spec["slots"])[:BATCH])
            stream = Rng(SEED, "negatives", step)
            count = spec["negatives"] * (BATCH if spec["draw"] == "image" else 1)
            negatives = torch.tensor([stream.integer(spec["slots"]) for _ in range(count)])
            by_image = spec["draw"] == "image"
            negatives = negatives.view(BATCH, -1) if by_image else negatives
            features = [F.normalize(q(xq[s]), dim=1) for s in micro]
            parts = [bank.loss(v, index[s], negatives[s] if by_image else negatives) for v, s in zip(features, micro)]
            bank_update = (torch.cat(features).detach(), index)
        optimizer.zero_grad()
        for part in parts:
            (part / pieces).backward()
        if step == 0:
            gradients = {name: digits(value.grad) for name, value in trained.items()}
        optimizer.step()
        if bank:
            bank.remember(*bank_update)
        if queue:
            queue.enqueue()
        if teacher:
            teacher.remember(seen)
        losses.append(sum(part.item() for part in parts) / pieces)

    state = {
        prefix + name: digits(value)
        for prefix, module in modules.items()
        for name, value in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    for ours, theirs in SLOTS[spec["optimizer"]["name"]].items():
        for name, value in trained.items():
            state[f"opt.{ours}.{name}"] = digits(optimizer.state[value][theirs])
    if bank:
        state["bank"] = digits(bank.features)
        if spec["loss"] == "nce":
            state["bank_z"] = [bank.z]
    if queue:
        state |= {"queue": digits(queue.keys), "queue_ptr": [queue.ptr]}
    if teacher:
        state |= {"queue": digits(teacher.queue), "queue_ptr": [teacher.ptr]}
    return {"spec": spec, "losses": losses, "gradients": gradients, "state": state}


def digits(value: Tensor | None) -> list[float]:
    """The values with 12 significant digits: the file stays small, and tests ask for 8."""
    assert value is not None
    return [float(f"{x:.11e}") for x in value.detach().flatten().tolist()]


def main() -> None:
    cases = {name: run(spec) for name, spec in CASES.items()}
    for name, case in cases.items():
        print(name, " ".join(f"{loss:.6f}" for loss in case["losses"]))
    head = {"seed": SEED, "steps": STEPS, "batch": BATCH, "size": SIZE}
    text = json.dumps(head | {"cases": cases}, separators=(",", ":"))
    (Path(__file__).parent / "fixtures" / "methods.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
