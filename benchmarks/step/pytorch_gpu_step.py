"""Times whole MoCo steps in PyTorch on an NVIDIA GPU, from random weights and on random images; writes JSON after each mode.

    python3 benchmarks/step/pytorch_gpu_step.py --method v2 --arch resnet50 --modes fp32,tf32,amp,amp-compiled --out FILE.json

v2: both views through their encoders, EMA, loss, backward, SGD, enqueue, BN running statistics. v3: both views through both
encoders, AdamW. The images lie on the device; `host` is the time with images that come from pinned memory each step. The loss
is read each step. fp32: TF32 off; tf32: on; amp: autocast to bfloat16, channels_last; -compiled: torch.compile of the encoders.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here / ".." / ".." / "parity")]
from moco_torch import Moco, Spec, build_encoder, v3_head


class MocoV3:
    """MoCo v3 (arXiv 2104.02057) on one GPU: heads as in the paper for ViTs, keys of both views, no queue."""

    hidden, dim, t = 4096, 256, 0.2

    def __init__(self, arch: str, device: str, layout: torch.memory_format) -> None:
        self.q = self.encoder(arch).to(device=device, memory_format=layout)
        self.k = self.encoder(arch).to(device=device, memory_format=layout)
        self.predictor = v3_head(2, self.dim, self.hidden, self.dim, True).to(device)
        self.k.load_state_dict(self.q.state_dict())
        self.k.requires_grad_(False)
        trained = [p for m in (self.q, self.predictor) for p in m.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.1, fused=device != "cpu")
        self._q = [p.detach() for p in self.q.parameters()]
        self._k = list(self.k.parameters())
        self.layout = layout

    def encoder(self, arch: str) -> nn.Module:
        model = build_encoder(arch, "imagenet", self.dim, True)
        width = model.fc[0].in_features
        model.fc = v3_head(3, width, self.hidden, self.dim, True)
        return model

    def step(self, xq: Tensor, xk: Tensor, _perm: Tensor | None, cast: Any) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_mul_(self._k, 0.99)
            torch._foreach_add_(self._k, self._q, alpha=0.01)
        xq, xk = (x.contiguous(memory_format=self.layout) for x in (xq, xk))
        with cast():
            with torch.no_grad():
                keys = [F.normalize(self.k(x), dim=1) for x in (xq, xk)]
            queries = [F.normalize(self.predictor(self.q(x)), dim=1) for x in (xq, xk)]
            labels = torch.arange(len(xq), device=xq.device)
            losses = [F.cross_entropy(q @ k.T / self.t, labels) for q, k in zip(queries, reversed(keys))]
            loss = 2 * self.t * (losses[0] + losses[1])
        loss.backward()
        self.optimizer.step()
        return loss.detach()


class MocoV2:
    """The parity peer on a GPU."""

    def __init__(self, args: argparse.Namespace, device: str, layout: torch.memory_format) -> None:
        spec = Spec(arch=args.arch, stem=args.stem, K=args.moco_k, bn=args.bn, bnSplits=args.bn_splits)
        moco = Moco(spec, channels_last=layout is torch.channels_last)
        moco.q.to(device)
        moco.k.to(device)
        moco.queue = moco.queue.to(device)
        trained = [p for p in moco.q.parameters() if p.requires_grad]
        moco.start(torch.optim.SGD(trained, spec.lr, spec.momentum, weight_decay=spec.wd, fused=device != "cpu"))
        self.moco, self.layout = moco, layout

    @property
    def q(self) -> nn.Module:
        return self.moco.q

    @q.setter
    def q(self, value: nn.Module) -> None:
        self.moco.q = value

    @property
    def k(self) -> nn.Module:
        return self.moco.k

    @k.setter
    def k(self, value: nn.Module) -> None:
        self.moco.k = value

    def step(self, xq: Tensor, xk: Tensor, perm: Tensor | None, cast: Any) -> Tensor:
        """As Moco.step, with the parts that autocast should see under it."""
        moco = self.moco
        moco.optimizer.zero_grad(set_to_none=True)
        xq, xk = (x.contiguous(memory_format=self.layout) for x in (xq, xk))
        with cast():
            q = F.normalize(moco.q(xq), dim=1)
            moco.update_key_encoder()
            keys = moco.keys(xk, perm)
            labels = torch.zeros(len(q), dtype=torch.long, device=q.device)
            loss = F.cross_entropy(moco.logits(q, keys), labels)
        loss.backward()
        moco.enqueue(keys.float())
        moco.optimizer.step()
        return loss.detach()


def timed(moco: Any, views: list[Tensor], args: argparse.Namespace, cast: Any, device: str) -> dict[str, Any]:
    cuda = device != "cpu"
    wait = torch.cuda.synchronize if cuda else lambda: None
    losses: list[float] = []

    def one(xq: Tensor, xk: Tensor) -> float:
        perm = torch.randperm(args.batch).to(device) if args.method == "v2" and args.bn == "split" else None
        wait()
        before = time.perf_counter()
        losses.append(moco.step(xq.to(device, non_blocking=True), xk.to(device, non_blocking=True), perm, cast).item())
        return (time.perf_counter() - before) * 1000

    here = [x.to(device) for x in views]
    first = one(*here)
    for _ in range(args.warmup):
        one(*here)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    times = [one(*here) for _ in range(args.steps)]
    memory = {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()} if cuda else {}
    pinned = [x.pin_memory() for x in views] if cuda else views
    host = [one(*pinned) for _ in range(3)]
    median = statistics.median(times)
    quarter = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return {
        "ms": median,
        "q1": quarter[0],
        "q3": quarter[2],
        "imgPerSecond": args.batch / median * 1000,
        "hostMs": statistics.median(host),
        "firstStepMs": first,
        "memory": memory,
        "losses": losses[:3] + losses[-1:],
    }


def measure(mode: str, args: argparse.Namespace, device: str) -> dict[str, Any]:
    tf32 = not mode.startswith("fp32")
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    amp = mode.startswith("amp")
    layout = torch.channels_last if amp or "channels_last" in mode else torch.contiguous_format
    cast = (lambda: torch.autocast(device, torch.bfloat16)) if amp else nullcontext
    torch.manual_seed(0)
    moco = MocoV3(args.arch, device, layout) if args.method == "v3" else MocoV2(args, device, layout)
    if "compiled" in mode:
        moco.q, moco.k = torch.compile(moco.q), torch.compile(moco.k)
    views = list(torch.randn(2, args.batch, 3, args.size, args.size).unbind())
    return timed(moco, views, args, cast, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=["v2", "v3"], default="v2")
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--stem", choices=["imagenet", "cifar", "small"], default="imagenet")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--moco-k", type=int, default=65536)
    parser.add_argument("--bn", choices=["split", "plain"], default="plain")
    parser.add_argument("--bn-splits", type=int, default=8)
    parser.add_argument("--modes", default="fp32,tf32,amp,amp-compiled")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=4)
    parser.add_argument("--out", default="")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    smi = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    card = subprocess.run(smi, capture_output=True, text=True).stdout.strip() if device == "cuda" else "cpu"
    result: dict[str, Any] = {"peer": f"PyTorch {torch.__version__}", "card": card, **vars(args), "results": {}}
    for mode in args.modes.split(","):
        try:
            measured = measure(mode, args, device)
            summary = f"{measured['ms']:.1f} ms, {measured['imgPerSecond']:.0f} img/s, host {measured['hostMs']:.1f} ms"
            print(f"PyTorch {args.method} {args.arch} {args.bn} {mode}: {summary}, {measured['memory']}", flush=True)
        except Exception as error:
            measured = {"error": f"{type(error).__name__}: {error}"[:1500]}
            print(f"PyTorch {args.method} {args.arch} {args.bn} {mode}: {measured['error'][:400]}", flush=True)
        result["results"][mode] = measured
        if args.out:
            Path(args.out).write_text(json.dumps(result, indent=1) + "\n")
        torch._dynamo.reset()
        if device == "cuda":
            torch.cuda.empty_cache()
    if not args.out:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
