"""Times whole MoCo v2 steps in PyTorch on the CPU, from random weights and on random images; prints one JSON line.

A step: both views through their encoders, EMA, loss, backward, SGD, enqueue, BN running statistics. Making the images
is not in it.
"""

import time

_started = time.perf_counter()

import argparse
import json
import os
import resource
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "parity"))
from moco_torch import Moco, Spec


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--stem", choices=["imagenet", "cifar", "small"], default="cifar")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=32, help="side of an image, in pixels")
    parser.add_argument("--moco-k", type=int, default=4096)
    parser.add_argument("--bn", choices=["split", "plain"], default="split")
    parser.add_argument("--bn-splits", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--format", choices=["contiguous", "channels_last"], default="contiguous")
    parser.add_argument("--optimizer", choices=["sgd", "fused-sgd"], default="fused-sgd", help="fused: one kernel")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    spec = Spec(arch=args.arch, stem=args.stem, K=args.moco_k, bn=args.bn, bnSplits=args.bn_splits)
    moco = Moco(spec, channels_last=args.format == "channels_last")
    if args.optimizer == "fused-sgd":
        trained = [p for p in moco.q.parameters() if p.requires_grad]
        moco.start(torch.optim.SGD(trained, spec.lr, spec.momentum, weight_decay=spec.wd, fused=True))
    xq, xk = torch.randn(2, args.batch, 3, args.size, args.size).unbind()
    seconds: list[float] = []
    first = 0.0
    for i in range(args.warmup + args.steps):
        perm = torch.randperm(args.batch) if args.bn == "split" else None
        before = time.perf_counter()
        loss = moco.step(xq, xk, perm)[0].item()
        after = time.perf_counter()
        first = first or after - _started
        if i >= args.warmup:
            seconds.append(after - before)
    result = {
        "peer": f"PyTorch {torch.__version__}",
        **vars(args),
        "ompWaitPolicy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "secondsPerStep": [round(s, 4) for s in seconds],
        "median": statistics.median(seconds),
        "best": min(seconds),
        "peakRssBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "secondsToFirstStep": first,  # from the start of the script, importing PyTorch included
        "loss": loss,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
