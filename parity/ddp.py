"""MoCo v1, v2 and v3, SimCLR and SEED on several ranks: torch.distributed with gloo, DistributedDataParallel, a process per rank.

Makes fixtures/ddp-<case>.json: the settings, the losses (mean over the ranks), the averaged gradients of step 0, the state that
rank 0 has after the last step, and each rank's running estimates after the first; in float64, with the distance of float32.
`python ddp.py [CASE...]`. `python ddp.py --write-inputs CASE FOLDER` writes SPEC.json and IN.safetensors of a MoCo v1 or v2 case.

Written from the papers: ShuffleBN and the queue from MoCo v1 (1911.05722, section 3.3 and algorithm 1), v2 (2003.04297), v3
(2104.02057, algorithm 1); what DDP does with gradients and buffers is its own doing. Rank r holds images r B / R to (r + 1) B / R.
PyTorch refuses SyncBatchNorm on CPUs, so its sums go through torch.distributed.nn.functional.all_reduce, which has a gradient.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.nn import functional as across
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

import steps
from inputs import queue, views
from methods import Teacher, taught
from moco_torch import v3_head
from philox import Rng
from steps import LARS, SEED, SGD, SLOTS, V3, VIT, encoder, facts, optimizer_of, plain, seed_weights, watched

torch.set_num_threads(1)
torch.set_default_dtype(torch.float32)
# What is to take their place has no gradient of the same form.
warnings.filterwarnings("ignore", "torch.distributed.nn.functional", FutureWarning)

STEPS, BATCH = 20, 32
SAMPLE = 64
# Of step 0 and of the others, see steps.py. v3 on a ResNet has the most ReLUs: no seed was found with the wider ones.
MARGINS, RESNET_V3_MARGINS = (5.0, 2.0), (4.0, 0.5)
FIXTURES = Path(__file__).parent / "fixtures"

NET = {"encoder": "resnet-tiny", "size": 16, "width": 8}  # resnet-micro
MOCO = {"net": NET, "dim": 32, "queueSize": 256, "momentum": 0.99, "symmetric": False, "optimizer": SGD}
V1 = MOCO | {"method": "moco-v1", "mlp": False, "temperature": 0.07, "lr": 3e-4}
V2 = MOCO | {"method": "moco-v2", "mlp": True, "temperature": 0.2, "lr": 2e-3}
V3_VIT = V3 | {"net": VIT, "projectorLayers": 3, "predictorLayers": 2, "predictorNorm": True, "temperature": 0.2}
V3_VIT |= {"frozen": ["patch_embed.proj.weight", "patch_embed.proj.bias"], "lr": 2e-4}
V3_VIT |= {"optimizer": {"name": "adamw", "weightDecay": 0.1}}
V3_RESNET = V3 | {"net": NET, "projectorLayers": 2, "predictorLayers": 2, "predictorNorm": False, "temperature": 1.0}
V3_RESNET |= {"frozen": [], "optimizer": LARS, "lr": 0.1}
SIMCLR = {"method": "simclr", "net": NET, "dim": 32, "mlp": True, "temperature": 0.5, "optimizer": LARS, "lr": 0.1}
DISTILL = {"method": "distill", "net": NET, "dim": 32, "mlp": True, "queueSize": 256, "temperature": 0.2}
DISTILL |= {"teacherTemperature": 0.01, "optimizer": SGD, "lr": 3e-4}
# bn: shuffle, the keys' ShuffleBN; sync; plain, each rank its own and nothing shuffled.
CASES: dict[str, dict[str, Any]] = {
    "v1-2": V1 | {"bn": "shuffle", "replicas": 2},
    "v1-4": V1 | {"bn": "shuffle", "replicas": 4},
    "v2-2": V2 | {"bn": "shuffle", "replicas": 2},
    "v2-4": V2 | {"bn": "shuffle", "replicas": 4},
    "v2-sync-2": V2 | {"bn": "sync", "replicas": 2},
    "v2-sync-4": V2 | {"bn": "sync", "replicas": 4},
    "v3-vit-2": V3_VIT | {"bn": "sync", "replicas": 2},
    "v3-vit-4": V3_VIT | {"bn": "sync", "replicas": 4},
    "v3-resnet-2": V3_RESNET | {"bn": "plain", "replicas": 2},
    "simclr-2": SIMCLR | {"bn": "plain", "replicas": 2},
    "distill-2": DISTILL | {"bn": "plain", "replicas": 2},
}


class SyncNorm(_BatchNorm):
    """Statistics of all ranks' positions together, with the variance about the common mean."""

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        dims = [0, *range(2, x.dim())]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = across.all_reduce(x.sum(dims)) / count
        centred = x - mean.view(shape)
        variance = across.all_reduce((centred**2).sum(dims)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        return y if self.weight is None else y * self.weight.view(shape) + self.bias.view(shape)


def together(x: Tensor) -> Tensor:
    """The rows of all ranks in their order; no gradient."""
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def own(x: Tensor) -> Tensor:
    """This rank's rows of what all have in common."""
    return x.chunk(dist.get_world_size())[dist.get_rank()]


class Method(nn.Module):
    """What DDP wraps: networks and queue, and a forward pass up to this rank's loss. `keys` are for `remember`."""

    def __init__(self, spec: dict[str, Any], dtype: torch.dtype) -> None:
        super().__init__()
        self.spec = spec
        self.q = self.network(dtype)
        self.k = self.predictor = None
        self.keys: list[Tensor] = []
        if spec["method"].startswith("moco"):
            self.k = self.network(dtype).requires_grad_(False)
        if spec["method"] == "moco-v3":
            dim, hidden = spec["dim"], spec["hidden"]
            self.predictor = v3_head(spec["predictorLayers"], dim, hidden, dim, spec["predictorNorm"])
            seed_weights(self.predictor, "predictor.")
            self.predictor.to(dtype)
            for name, value in self.q.named_parameters():
                value.requires_grad_(plain(name) not in spec["frozen"] and value.requires_grad)
        elif self.k is not None:
            self.register_buffer("queue", queue(SEED, spec["dim"], spec["queueSize"]).to(dtype))
            self.register_buffer("ptr", torch.zeros(1, dtype=torch.long))
        self.teacher = Teacher(spec, dtype) if spec["method"] == "distill" else None
        if spec["bn"] == "sync":
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.__class__ = SyncNorm
        self.train()

    def network(self, dtype: torch.dtype) -> nn.Module:
        network = encoder(self.spec)
        seed_weights(network)
        return network.to(dtype)

    def forward(self, step: int, xq: Tensor, xk: Tensor) -> Tensor:
        method = self.spec["method"]
        if method == "simclr":
            return self.contrast(*F.normalize(self.q(torch.cat([xq, xk])), dim=1).chunk(2))
        if method == "distill":
            seen = F.normalize(taught(step, BATCH, self.spec["dim"]).to(xq), dim=1)
            self.keys = [seen]
            return self.teacher.loss(F.normalize(self.q(xq), dim=1), own(seen))
        self.follow(step)
        return self.v3(xq, xk) if method == "moco-v3" else self.moco(step, xq, xk)

    @torch.no_grad()
    def follow(self, step: int) -> None:
        m = self.spec["momentum"]
        if self.predictor is not None:
            m = 1 - (1 - m) * (1 + math.cos(math.pi * step / STEPS)) / 2
        for slow, fast in zip(self.k.parameters(), self.q.parameters()):
            if fast.requires_grad:
                slow.mul_(m).add_(fast, alpha=1 - m)

    def moco(self, step: int, xq: Tensor, xk: Tensor) -> Tensor:
        """Algorithm 1, on this rank's images; symmetric: both directions' sum, the keys of xq before those of xk."""
        perm = torch.from_numpy(Rng(SEED, "perm", step).permutation(BATCH)) if self.spec["bn"] == "shuffle" else None
        loss = xq.new_zeros(())
        self.keys = []
        for a, b in [(xq, xk), (xk, xq)][: 2 if self.spec["symmetric"] else 1]:
            q = F.normalize(self.q(a), dim=1)
            keys = self.encode_keys(b, perm)
            self.keys.insert(0, keys)
            positive = (q * own(keys)).sum(1, keepdim=True)
            logits = torch.cat([positive, q @ self.queue.clone()], 1) / self.spec["temperature"]
            loss = loss + F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))
        return loss

    @torch.no_grad()
    def encode_keys(self, x: Tensor, perm: Tensor | None) -> Tensor:
        """Unit keys of all ranks' images in their order. ShuffleBN: the images change places between the ranks on the way."""
        if perm is None:
            return together(F.normalize(self.k(x), dim=1))
        shuffled = together(F.normalize(self.k(own(together(x)[perm])), dim=1))
        return shuffled[perm.argsort()]

    def v3(self, xq: Tensor, xk: Tensor) -> Tensor:
        t = self.spec["temperature"]
        with torch.no_grad():
            k1, k2 = (together(F.normalize(self.k(x), dim=1)) for x in (xq, xk))
        q1, q2 = (F.normalize(self.predictor(self.q(x)), dim=1) for x in (xq, xk))
        labels = dist.get_rank() * len(q1) + torch.arange(len(q1))
        return 2 * t * (F.cross_entropy(q1 @ k2.T / t, labels) + F.cross_entropy(q2 @ k1.T / t, labels))

    def contrast(self, first: Tensor, second: Tensor) -> Tensor:
        """NT-Xent of this rank's features with those of all ranks, which get gradients from here too."""
        n, whole = len(first), len(first) * dist.get_world_size()
        everyone = torch.cat([torch.cat(across.all_gather(z.contiguous())) for z in (first, second)])
        mine = dist.get_rank() * n + torch.arange(n)
        rows = torch.cat([mine, mine + whole])
        itself = F.one_hot(rows, 2 * whole).bool()
        similar = (torch.cat([first, second]) @ everyone.T / self.spec["temperature"]).masked_fill(itself, -math.inf)
        return F.cross_entropy(similar, (rows + whole) % (2 * whole))

    @torch.no_grad()
    def remember(self) -> None:
        if self.teacher is not None:
            self.teacher.remember(self.keys[0])
        elif self.predictor is None and self.k is not None:
            keys, at = torch.cat(self.keys), int(self.ptr)
            self.queue[:, at : at + len(keys)] = keys.T
            self.ptr[0] = (at + len(keys)) % self.spec["queueSize"]


def batch(spec: dict[str, Any], seed: int, step: int, dtype: torch.dtype) -> list[Tensor]:
    return [own(x).to(dtype) for x in views(seed, step, BATCH, spec["net"]["size"])]


def train(spec: dict[str, Any], seed: int, dtype: torch.dtype, count: int) -> dict[str, Any]:
    """This rank's part of `count` steps; `relus` by step."""
    method = Method(spec, dtype)
    relus = watched([method.q, method.predictor])
    model = DistributedDataParallel(method)
    trained = {plain(n): p for n, p in method.q.named_parameters() if p.requires_grad}
    if method.predictor is not None:
        trained |= {f"predictor.{n}": p for n, p in method.predictor.named_parameters()}
    optimizer = optimizer_of(spec, list(trained.values()))
    losses, by_step, gradients = [], [], {}
    for step in range(count):
        loss = model(step, *batch(spec, seed, step, dtype))
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            gradients = {n: p.grad.double().clone() for n, p in trained.items()}
        optimizer.step()
        method.remember()
        mean = loss.detach().double()
        dist.all_reduce(mean)
        losses.append(mean.item() / dist.get_world_size())
        by_step.append(list(relus))
        relus.clear()
    slots = {
        f"opt.{ours}.{n}": optimizer.state[p][theirs].double()
        for ours, theirs in SLOTS[spec["optimizer"]["name"]].items()
        for n, p in trained.items()
    }
    return {"losses": losses, "gradients": gradients, "state": state_of(method) | slots, "relus": by_step}


def state_of(method: Method) -> dict[str, Tensor]:
    parts = {"q.": method.q, "k.": method.k, "predictor.": method.predictor}
    state = {
        prefix + plain(name): value.double()
        for prefix, module in parts.items()
        for name, value in (module.state_dict() if module else {}).items()
        if not name.endswith(("num_batches_tracked", "pos_embed"))
    }
    if method.teacher is not None:
        state |= {"queue": method.teacher.queue.double(), "queue_ptr": torch.tensor([method.teacher.ptr]).double()}
    elif method.predictor is None and method.k is not None:
        state |= {"queue": method.queue.double(), "queue_ptr": method.ptr.double()}
    return state


def clear_of_zero(f32: dict[str, Any], f64: dict[str, Any], margins: tuple[float, float]) -> bool:
    """On all ranks: no ReLU input that rounding may have moved to the other side of zero (steps.py's rule)."""
    clear = 1
    for step, (rounded, exact) in enumerate(zip(f32["relus"], f64["relus"])):
        for a, b in zip(rounded, exact):
            clear &= int(float(b.abs().min()) > margins[min(step, 1)] * float((a - b).abs().mean()))
    flag = torch.tensor(clear)
    dist.all_reduce(flag, op=dist.ReduceOp.MIN)
    return bool(flag)


def both(spec: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """The first view seed that keeps clear of zero, and the runs in float32 and float64."""
    margins = RESNET_V3_MARGINS if spec["net"] is NET and spec["method"] == "moco-v3" else MARGINS
    for seed in range(1, 2000):
        for count in (1, 4, STEPS):
            f32, f64 = (train(spec, seed, dtype, count) for dtype in (torch.float32, torch.float64))
            if not clear_of_zero(f32, f64, margins):
                break
        else:
            return seed, f32, f64
    raise RuntimeError("no seed found")


def buffers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: v for n, v in state.items() if n.endswith(("running_mean", "running_var"))}


def expect_equal(results: list[dict[str, Any]]) -> None:
    """What must be the same bits on all ranks: averaged gradients, parameters, optimizer, queue."""
    first = results[0]
    for result in results[1:]:
        for part in ("gradients", "state"):
            for name, value in first[part].items():
                if name not in buffers(first[part]) and not torch.equal(value, result[part][name]):
                    raise SystemExit(f"ranks differ in {name}")


def make(name: str, spec: dict[str, Any]) -> dict[str, Any] | None:
    """On each rank; rank 0 gives the document."""
    seed, f32, f64 = both(spec)
    gathered = from_ranks([{key: run[key] for key in ("gradients", "state")} for run in (f32, f64)])
    first = ranks_after_first(spec, seed)
    if dist.get_rank() > 0:
        return None
    expect_equal([g[0] for g in gathered])
    expect_equal([g[1] for g in gathered])
    start = state_of(Method(spec, torch.float64))
    noise = steps.noise(f64["gradients"])

    def kept(named: dict[str, Any]) -> dict[str, Any]:
        return {n: v for n, v in named.items() if not any(n == s or n.endswith(f".{s}") for s in noise)}

    def parameter(name: str) -> bool:
        return name.startswith(("q.", "k.", "predictor.")) and "running" not in name

    return {
        "spec": spec,
        "viewSeed": seed,
        "losses": f64["losses"],
        "drift": [abs(a - b) / b for a, b in zip(f32["losses"], f64["losses"])],
        "noise": noise,
        "gradients": {n: facts(f32["gradients"][n], g, None) for n, g in kept(f64["gradients"]).items()},
        "state": {
            n: facts(f32["state"][n], v, start[n] if parameter(n) else None) for n, v in kept(f64["state"]).items()
        },
        "ranks": [kept(of_rank) for of_rank in first],
    }


def from_ranks(value: Any) -> list[Any]:
    """What each rank has, on all ranks."""
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, value)
    return gathered


def ranks_after_first(spec: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """The running estimates of each rank after one step, which its own images gave."""
    f32, f64 = (buffers(train(spec, seed, dtype, 1)["state"]) for dtype in (torch.float32, torch.float64))
    return from_ranks({n: facts(f32[n], v, None) for n, v in f64.items()})


def on_ranks(work: Callable[..., None], size: int, *args: Any) -> None:
    """Forked: a rank that imports everything anew takes longer than its steps."""
    torch.multiprocessing.start_processes(work, args, nprocs=size, start_method="fork")


def join(rank: int, size: int, store: str) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    steps.SAMPLE = SAMPLE


def rank_of_case(rank: int, name: str, store: str) -> None:
    spec = CASES[name]
    join(rank, spec["replicas"], store)
    case = make(name, spec)
    if case is not None:
        write(name, case)
    dist.barrier()
    dist.destroy_process_group()


def write(name: str, case: dict[str, Any]) -> None:
    head = {"torch": torch.__version__.split("+")[0], "seed": SEED, "steps": STEPS, "batch": BATCH, "sample": SAMPLE}
    path = FIXTURES / f"ddp-{name}.json"
    path.write_text(json.dumps(head | case, separators=(",", ":")) + "\n")
    gradients = max(fact["f32"] for fact in case["gradients"].values())
    change = max((fact["f32"], n) for n, fact in case["state"].items() if not n.endswith("running_mean"))
    print(
        f"{name}: view seed {case['viewSeed']}, loss {case['losses'][0]:.4f} to {case['losses'][-1]:.4f},",
        f"drift {max(case['drift']):.1e}, gradients {gradients:.1e}, state {change[0]:.1e} ({change[1]}),",
        f"{path.stat().st_size / 1000:.0f} kB",
    )


def write_inputs(spec: dict[str, Any], view_seed: int, folder: Path) -> None:
    """For `moco replay`: the whole batch, of which each rank takes its part."""
    from safetensors.torch import save_file

    names = {"method": "method", "dim": "dim", "mlp": "mlp", "K": "queueSize", "m": "momentum", "t": "temperature"}
    replayed = {theirs: spec[ours] for theirs, ours in names.items()} | {"arch": "resnet-micro", "stem": "small"}
    replayed |= {"lr": spec["lr"], "momentum": SGD["momentum"], "wd": SGD["weightDecay"], "steps": STEPS}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SPEC.json").write_text(
        json.dumps(replayed | {"bn": spec["bn"], "symmetric": spec["symmetric"]}, indent=2) + "\n"
    )
    network = encoder(spec)
    seed_weights(network)
    given = {f"q.{n}": v for n, v in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    given["queue"] = queue(SEED, spec["dim"], spec["queueSize"])
    for i in range(STEPS):
        given[f"xq.{i}"], given[f"xk.{i}"] = views(view_seed, i, BATCH, spec["net"]["size"])
        if spec["bn"] == "shuffle":
            given[f"perm.{i}"] = torch.from_numpy(Rng(SEED, "perm", i).permutation(BATCH))
    save_file({n: v.contiguous() for n, v in given.items()}, folder / "IN.safetensors")


def main(args: list[str]) -> None:
    if args[:1] == ["--write-inputs"]:
        view_seed = json.loads((FIXTURES / f"ddp-{args[1]}.json").read_text())["viewSeed"]
        write_inputs(CASES[args[1]], view_seed, Path(args[2]))
        return
    for name in args or CASES:
        with tempfile.TemporaryDirectory() as folder:
            on_ranks(rank_of_case, CASES[name]["replicas"], name, f"{folder}/store")


if __name__ == "__main__":
    main(sys.argv[1:])
