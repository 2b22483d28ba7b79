"""Checks replay.py against a second MoCo written from the paper's formulas alone: no nn.Module, no torch.optim.

BN is computed group by group on x[g::splits], SGD by hand, the queue column by column. Float64, so that what remains is
rounding: every difference must be below 1e-9. Run it after a change of moco_torch.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from compare import compare
from inputs import inputs
from moco_torch import Spec
from replay import replay

State = dict[str, Tensor]


def batch_norm(x: Tensor, state: State, name: str, splits: int) -> Tensor:
    """Training-mode BN of each x[g::splits]; writes the new running estimates into `state`."""
    y = torch.empty_like(x)
    means, variances = [], []
    for g in range(splits):
        group = x[g::splits]
        count = group.numel() // group.shape[1]
        mean = group.mean((0, 2, 3))
        var = ((group - mean[:, None, None]) ** 2).mean((0, 2, 3))
        scale = state[f"{name}.weight"] / (var + 1e-5).sqrt()
        y[g::splits] = (group - mean[:, None, None]) * scale[:, None, None] + state[f"{name}.bias"][:, None, None]
        means.append(mean.detach())
        variances.append(var.detach() * count / (count - 1))
    for buffer, values in (("running_mean", means), ("running_var", variances)):
        old = state[f"{name}.{buffer}"]
        state[f"{name}.{buffer}"] = torch.stack([0.9 * old + 0.1 * v for v in values]).mean(0)
    return y


def encode(x: Tensor, state: State, spec: Spec) -> Tensor:
    splits = spec.bnSplits if spec.bn == "split" else 1
    conv = lambda x, name, stride=1: F.conv2d(  # noqa: E731
        x, state[f"{name}.weight"], stride=stride, padding=state[f"{name}.weight"].shape[2] // 2
    )
    x = batch_norm(conv(x, "conv1"), state, "bn1", splits).relu()
    for stage in range(1, 5):
        for block in range(2):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = batch_norm(conv(x, f"{name}.conv1", stride), state, f"{name}.bn1", splits).relu()
            y = batch_norm(conv(y, f"{name}.conv2"), state, f"{name}.bn2", splits)
            if f"{name}.downsample.0.weight" in state:
                x = batch_norm(conv(x, f"{name}.downsample.0", stride), state, f"{name}.downsample.1", splits)
            x = (x + y).relu()
    x = x.mean((2, 3))
    if spec.mlp:
        x = (x @ state["fc.0.weight"].T + state["fc.0.bias"]).relu()
        x = x @ state["fc.2.weight"].T + state["fc.2.bias"]
    else:
        x = x @ state["fc.weight"].T + state["fc.bias"]
    return x / x.square().sum(1, keepdim=True).sqrt()


def by_hand(spec: Spec, given: State) -> State:
    given = {n: v if v.dtype == torch.int64 else v.double() for n, v in given.items()}
    q = {n[2:]: v.clone() for n, v in given.items() if n.startswith("q.")}
    k = {n: v.clone() for n, v in q.items()}
    trained = [n for n in q if "running" not in n]
    speed = {n: torch.zeros_like(q[n]) for n in trained}
    queue, pointer, out, losses = given["queue"].clone(), 0, {}, []
    for i in range(spec.steps or 0):
        for n in trained:
            q[n].requires_grad_()
        for n in trained:
            k[n] = spec.m * k[n] + (1 - spec.m) * q[n].detach()
        loss, keys = torch.zeros((), dtype=torch.float64), []
        order = given[f"perm.{i}"] if f"perm.{i}" in given else torch.arange(len(given[f"xq.{i}"]))
        for a, b in (("xq", "xk"), ("xk", "xq"))[: 2 if spec.symmetric else 1]:
            query = encode(given[f"{a}.{i}"], q, spec)
            with torch.no_grad():
                key = encode(given[f"{b}.{i}"][order], k, spec)[order.argsort()]
            keys.insert(0, key)
            for n, positive in enumerate((query * key).sum(1)):
                scores = torch.cat([positive[None], query[n] @ queue]) / spec.t
                loss = loss + (scores.logsumexp(0) - scores[0]) / len(query)
        grads = torch.autograd.grad(loss, [q[n] for n in trained])
        for n, grad in zip(trained, grads):
            if i == 0:
                out[f"grad.{n}"] = grad
            speed[n] = spec.momentum * speed[n] + grad + spec.wd * q[n].detach()
            q[n] = q[n].detach() - spec.lr * speed[n]
        for key in torch.cat(keys):
            queue[:, pointer] = key
            pointer = (pointer + 1) % spec.K
        losses.append(loss.detach())
    out |= {"loss": torch.stack(losses), "queue": queue, "queue_ptr": torch.tensor([pointer])}
    return out | {f"q.{n}": v for n, v in q.items()} | {f"k.{n}": v for n, v in k.items()}


def main() -> None:
    for options in ({"method": "moco-v1"}, {"bn": "plain"}, {"symmetric": True}):
        spec = Spec(**{"bnSplits": 2, "K": 16, "m": 0.9, "wd": 0.01, "lr": 0.01, "dim": 16, "steps": 3} | options)
        given = inputs(3, 3, spec, batch=8, size=16)
        differences = compare(replay(spec, given, torch.float64), by_hand(spec, given))
        worst = max(*differences["loss"], *(differences[g]["relativeL2"] for g in ("grad.", "q.", "k.", "queue")))
        print(f"{options}: {worst:.1e}", "ok" if worst < 1e-9 else f"DIFFERS: {differences}")
        if worst >= 1e-9:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
