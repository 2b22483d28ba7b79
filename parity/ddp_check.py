"""Checks ddp.py by what must be equal, in float64, so that what remains is rounding.

Synchronised batch norm and a gathered batch: R ranks and one rank with the whole batch. ShuffleBN on R ranks: the SplitBN of
moco_torch.py on one, with R groups; its group r holds images r, r + R, ..., so that its batches are put in that order.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
import torch.distributed as dist

import ddp
from inputs import queue, views
from moco_torch import Moco, Spec
from philox import Rng
from steps import SEED, SGD, encoder, seed_weights

COUNT = 3
BOUND = 1e-9


def rank(number: int, size: int, spec: dict[str, Any], store: str, output: str) -> None:
    ddp.join(number, size, store)
    result = ddp.train(spec, 1, torch.float64, COUNT)
    if number == 0:
        torch.save({key: result[key] for key in ("losses", "gradients", "state")}, output)
    dist.barrier()
    dist.destroy_process_group()


def by_ranks(spec: dict[str, Any], size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/output"
        ddp.on_ranks(rank, size, size, spec, f"{folder}/store", output)
        return torch.load(output)


def split_on_one(spec: dict[str, Any]) -> dict[str, Any]:
    """Groups of moco_torch's SplitBN in the place of ranks."""
    size, batch = spec["replicas"], ddp.BATCH
    moco = Moco(
        Spec(
            method=spec["method"],
            arch="resnet-micro",
            stem="small",
            dim=spec["dim"],
            mlp=spec["mlp"],
            K=spec["queueSize"],
            m=spec["momentum"],
            t=spec["temperature"],
            lr=spec["lr"],
            momentum=SGD["momentum"],
            wd=SGD["weightDecay"],
            bn="split",
            bnSplits=size,
            symmetric=spec["symmetric"],
        ),
        torch.float64,
    )
    weights = encoder(spec)
    seed_weights(weights)
    moco.q.load_state_dict(weights.state_dict())
    moco.queue.copy_(queue(SEED, spec["dim"], spec["queueSize"]))
    moco.start()
    # Place p of the batch here holds image order[p], of group p % size.
    order = torch.arange(batch).view(size, -1).T.flatten()
    losses, gradients = [], {}
    for step in range(COUNT):
        xq, xk = (x.double()[order] for x in views(1, step, batch, spec["net"]["size"]))
        # Place p of the keys' batch there is rank r's i-th, here i x size + r.
        perm = torch.from_numpy(Rng(SEED, "perm", step).permutation(batch))[order]
        loss, _ = moco.step(xq, xk, order.argsort()[perm])
        losses.append(loss.item())
        if step == 0:
            gradients = {n: p.grad.clone() for n, p in moco.q.named_parameters()}
    state = {f"{s}.{n}": v.detach() for s, m in (("q", moco.q), ("k", moco.k)) for n, v in m.named_parameters()}
    back = order.argsort() + torch.arange(COUNT * (2 if spec["symmetric"] else 1)).view(-1, 1) * batch
    columns = torch.cat([back.flatten(), torch.arange(back.numel(), spec["queueSize"])])
    return {"losses": losses, "gradients": gradients, "state": state | {"queue": moco.queue[:, columns]}}


def distance(a: dict[str, Any], b: dict[str, Any]) -> float:
    """The worst of what b has. AdamW makes full steps of gradients that are 0 but for rounding: there no state is compared."""
    worst = max(abs(x - y) / abs(y) for x, y in zip(a["losses"], b["losses"]))
    adamw = any(name.startswith("opt.exp_avg") for name in b["state"])
    for part in ("gradients",) if adamw else ("gradients", "state"):
        for name, value in b[part].items():
            scale = max(float(value.norm()), 1e-3)
            worst = max(worst, float((a[part][name] - value).norm()) / scale)
    return worst


def main() -> None:
    failed = False
    for name, spec in ddp.CASES.items():
        if spec["bn"] == "plain":
            continue
        other = by_ranks(spec, 1) if spec["bn"] == "sync" else split_on_one(spec)
        worst = distance(by_ranks(spec, spec["replicas"]), other)
        failed |= worst > BOUND
        print(f"{name}: {worst:.1e}", "ok" if worst <= BOUND else "DIFFERS")
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
