"""Makes parity/fixtures/ops.safetensors and ops.json: single ops, optimizers and schedules in float64.

Every input is a float32 value held in float64, so that a float32 program is given exactly the same input.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from moco_torch import SplitBatchNorm
from philox import Rng

FIXTURES = Path(__file__).parent / "fixtures"
Tensors = dict[str, Tensor]


class Fixture:
    """Collects cases; a tensor `NAME` of case `CASE` is stored as `CASE/NAME`."""

    def __init__(self) -> None:
        self.tensors: Tensors = {}
        self.cases: list[dict[str, Any]] = []

    def normal(self, key: str, *shape: int) -> Tensor:
        values = torch.from_numpy(Rng(0, f"ops/{key}").normal(math.prod(shape)))
        return values.reshape(shape).float().double()

    def add(self, name: str, op: str, attrs: dict[str, Any], **groups: Tensors) -> None:
        keys: dict[str, dict[str, str]] = {}
        for group, tensors in groups.items():
            keys[group] = {n: f"{name}/{group}.{n}" for n in tensors}
            self.tensors |= {keys[group][n]: t.detach().contiguous().clone() for n, t in tensors.items()}
        self.cases.append({"name": name, "op": op, "attrs": attrs, **keys})

    def op(
        self, name: str, op: str, attrs: dict[str, Any], inputs: Tensors, fn: Callable[..., Tensor], **more: Tensors
    ) -> None:
        """y = fn(*inputs), and the gradients of sum(y * upstream) for every floating input."""
        inputs = {n: t.float().double() if t.is_floating_point() else t for n, t in inputs.items()}
        given = {n: t.clone() for n, t in inputs.items()}
        for t in given.values():
            t.requires_grad_(t.is_floating_point())
        y = fn(*given.values())
        upstream = self.normal(f"{name}/upstream", *y.shape)
        (y * upstream).sum().backward()
        gradients = {n: t.grad for n, t in given.items() if t.grad is not None}
        self.add(
            name, op, attrs, inputs=inputs, outputs={"y": y, **more}, upstream={"y": upstream}, gradients=gradients
        )


def convolutions(f: Fixture) -> None:
    # (kernel, stride, padding, groups, height, width, bias)
    for k, s, p, g, h, w, bias in [
        (1, 1, 0, 1, 5, 4, False), (1, 2, 0, 1, 5, 4, False), (1, 1, 1, 1, 3, 3, False), (1, 1, 0, 4, 3, 4, False),
        (3, 1, 1, 1, 5, 6, True), (3, 2, 1, 1, 6, 5, False), (3, 1, 0, 1, 5, 4, False), (3, 2, 0, 1, 6, 5, False),
        (3, 1, 1, 4, 4, 5, False), (3, 2, 1, 4, 5, 6, False), (3, 1, 3, 1, 2, 3, False), (3, 1, 1, 1, 1, 1, False),
        (7, 2, 3, 1, 9, 8, False), (7, 1, 3, 1, 4, 5, False), (7, 1, 0, 1, 8, 7, False), (7, 2, 3, 4, 7, 6, False),
    ]:  # fmt: skip
        name = f"conv2d/k{k}s{s}p{p}g{g}-{h}x{w}"
        channels, out = (4, 8) if g > 1 else (3, 4)
        inputs = {
            "x": f.normal(f"{name}/x", 2, channels, h, w),
            "weight": f.normal(f"{name}/w", out, channels // g, k, k),
        }
        if bias:
            inputs["bias"] = f.normal(f"{name}/b", out)
        attrs = {"stride": s, "padding": p, "groups": g}
        f.op(name, "conv2d", attrs, inputs, lambda x, weight, bias=None, a=attrs: F.conv2d(x, weight, bias, **a))


def pools(f: Fixture) -> None:
    pool = lambda x: F.max_pool2d(x, 3, 2, 1)  # noqa: E731
    attrs = {"kernel": 3, "stride": 2, "padding": 1}
    shape = (2, 3, 7, 6)
    x = f.normal("max_pool2d/x", *shape)
    f.op("max_pool2d/plain", "max_pool2d", attrs, {"x": x}, pool)
    f.op("max_pool2d/ties", "max_pool2d", attrs, {"x": x.round()}, pool)
    f.op("max_pool2d/equal", "max_pool2d", attrs, {"x": torch.zeros(shape).double()}, pool)
    f.op("max_pool2d/negative", "max_pool2d", attrs, {"x": -x.abs() - 1}, pool)
    f.op("max_pool2d/one-pixel", "max_pool2d", attrs, {"x": -x[:, :, :1, :1].abs()}, pool)
    f.op("global_avg_pool2d", "global_avg_pool2d", {}, {"x": x}, lambda x: x.mean((2, 3)))


def norms(f: Fixture) -> None:
    def batch_norm(name: str, x: Tensor, splits: int, training: bool = True) -> None:
        c = x.shape[1]
        bn = SplitBatchNorm(c, splits).double().train(training)
        bn.running_mean.copy_(f.normal(f"{name}/mean", c))
        bn.running_var.copy_(f.normal(f"{name}/var", c).abs().clamp_min(0.5))
        inputs = {"x": x, "weight": f.normal(f"{name}/w", c), "bias": f.normal(f"{name}/b", c)}
        running = {"running_mean": bn.running_mean.clone(), "running_var": bn.running_var.clone()}

        def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return torch.func.functional_call(bn, {"weight": weight, "bias": bias}, (x,))

        attrs = {"splits": splits, "training": training, "momentum": 0.1, "eps": 1e-5}
        f.op(name, "batch_norm", attrs, inputs, run)
        case = f.cases[-1]
        for group, values in (("inputs", running), ("outputs", {n: getattr(bn, n) for n in running})):
            for n, v in values.items():
                case[group][n] = f"{name}/{group}.{n}"
                f.tensors[case[group][n]] = v.clone()

    x = f.normal("batch_norm/x", 4, 3, 3, 2)
    batch_norm("batch_norm/training", x, 1)
    batch_norm("batch_norm/offset", x * 0.1 + 100, 1)  # a mean far from 0: naive variance fails
    batch_norm("batch_norm/two-values", x[:2, :, :1, :1], 1)
    batch_norm("batch_norm/split-2", x, 2)
    batch_norm("batch_norm/evaluation", x, 1, training=False)
    shape = (5, 6)
    x = f.normal("layer_norm/x", *shape)
    inputs = {"x": x, "weight": f.normal("layer_norm/w", 6), "bias": f.normal("layer_norm/b", 6)}
    attrs = {"axis": -1, "eps": 1e-6}
    f.op("layer_norm", "layer_norm", attrs, inputs, lambda x, weight, bias: F.layer_norm(x, (6,), weight, bias, 1e-6))
    f.op("layer_norm/offset", "layer_norm", attrs, inputs | {"x": x + 50},
         lambda x, weight, bias: F.layer_norm(x, (6,), weight, bias, 1e-6))  # fmt: skip
    f.op("normalize", "normalize", {"axis": 1, "eps": 1e-12}, {"x": x}, lambda x: F.normalize(x, dim=1))
    f.op("normalize/axis-0", "normalize", {"axis": 0, "eps": 1e-12}, {"x": x}, lambda x: F.normalize(x, dim=0))


def rest(f: Fixture) -> None:
    x = f.normal("rest/x", 5, 6)
    inputs = {"x": x, "weight": f.normal("linear/w", 4, 6), "bias": f.normal("linear/b", 4)}
    f.op("linear", "linear", {}, inputs, F.linear)
    f.op("linear/no-bias", "linear", {}, {n: inputs[n] for n in ("x", "weight")}, F.linear)
    x3 = x.expand(2, 5, 6) * torch.tensor([1.0, -2.0]).double()[:, None, None]
    f.op("linear/3d", "linear", {}, inputs | {"x": x3}, F.linear)
    wide = torch.cat([x * 3, torch.tensor([[-8.0, -0.5, -0.0, 0.0, 0.5, 8.0]]).double()])
    f.op("gelu", "gelu", {"approximate": "none"}, {"x": wide}, F.gelu)
    f.op("relu", "relu", {}, {"x": wide}, F.relu)
    f.op("softmax", "softmax", {"axis": -1}, {"x": x}, lambda x: x.softmax(-1))
    f.op("softmax/large", "softmax", {"axis": -1}, {"x": x * 1000}, lambda x: x.softmax(-1))
    f.op("softmax/axis-0", "softmax", {"axis": 0}, {"x": x}, lambda x: x.softmax(0))
    f.op("log_softmax", "log_softmax", {"axis": -1}, {"x": x * 10}, lambda x: x.log_softmax(-1))
    labels = torch.tensor([0, 3, 5, 0, 2])
    for name, logits in (("cross_entropy", x), ("cross_entropy/large", x * 100)):
        f.op(name, "cross_entropy", {"reduction": "mean"}, {"logits": logits, "labels": labels}, F.cross_entropy)


def optimizers(f: Fixture) -> None:
    start = {n: f.normal(f"optim/{n}", *s) for n, s in (("weight", (3, 4)), ("bias", (4,)))}
    grads = {f"{n}.{i}": f.normal(f"optim/grad/{n}/{i}", *t.shape) for i in range(3) for n, t in start.items()}
    rates = [0.1, 0.05, 0.02]  # the rate changes from step to step, as a schedule changes it
    for name, make, attrs in [
        ("sgd", torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
        ("sgd/plain", torch.optim.SGD, {"momentum": 0.0, "weight_decay": 0.0}),
        ("adamw", torch.optim.AdamW, {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1}),
    ]:
        params = {n: t.clone().requires_grad_() for n, t in start.items()}
        optimizer = make(params.values(), lr=rates[0], **attrs)
        after: Tensors = {}
        for i, lr in enumerate(rates):
            optimizer.param_groups[0]["lr"] = lr
            for n, p in params.items():
                p.grad = grads[f"{n}.{i}"].clone()
            optimizer.step()
            after |= {f"{n}.{i}": p.detach().clone() for n, p in params.items()}
        f.add(name, name.partition("/")[0], {"lr": rates, **attrs}, inputs=start, gradients=grads, outputs=after)


def schedules(f: Fixture) -> None:
    """The rate of each epoch, from torch.optim.lr_scheduler: [epochs]."""

    def rates(make: Callable[[torch.optim.Optimizer], Any], lr: float, epochs: int) -> Tensor:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
        schedule = make(optimizer)
        out = []
        for _ in range(epochs):
            out.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return torch.tensor(out, dtype=torch.float64)

    lr_scheduler = torch.optim.lr_scheduler
    for name, lr, epochs in (("cosine", 0.03, 200), ("cosine/short", 0.5, 3)):
        value = rates(lambda o, t=epochs: lr_scheduler.CosineAnnealingLR(o, t), lr, epochs)
        closed = torch.tensor([lr * 0.5 * (1 + math.cos(math.pi * e / epochs)) for e in range(epochs)]).double()
        torch.testing.assert_close(value, closed, rtol=1e-6, atol=1e-9)
        f.add(name, "cosine_lr", {"lr": lr, "epochs": epochs}, outputs={"lr": value})
    step = rates(lambda o: lr_scheduler.MultiStepLR(o, [120, 160], 0.1), 0.03, 200)
    f.add("step", "step_lr", {"lr": 0.03, "epochs": 200, "schedule": [120, 160]}, outputs={"lr": step})


def main() -> None:
    FIXTURES.mkdir(exist_ok=True)
    f = Fixture()
    for part in (convolutions, pools, norms, rest, optimizers, schedules):
        part(f)
    save_file(f.tensors, FIXTURES / "ops.safetensors")
    (FIXTURES / "ops.safetensors").chmod(0o644)
    document = {"torch": torch.__version__.split("+")[0], "cases": f.cases}
    (FIXTURES / "ops.json").write_text(json.dumps(document, indent=1) + "\n")
    print(f"ops: {len(f.cases)} cases, {sum(t.nbytes for t in f.tensors.values()) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
