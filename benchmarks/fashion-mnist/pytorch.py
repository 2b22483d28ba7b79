"""MoCo on Fashion-MNIST in PyTorch, with the flags and the recipe of `moco pretrain`, then kNN on the test images.

Usage: python pytorch.py FOLDER [flags]; FOLDER holds the idx files, with or without .gz. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path

# The views are made on the same cores. Threads that spin while they wait slow both down, sevenfold on 2 busy cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from data import TwoViews, eval_transform, load, view

sys.path.insert(0, str(Path(__file__).parents[2] / "parity"))
from moco_torch import Moco, Spec


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    flag = parser.add_argument
    flag("data", type=Path)
    flag("--method", choices=["moco-v1", "moco-v2"], default="moco-v2")
    flag("-a", "--arch", default="resnet18", help="a ResNet of torchvision, or resnet-tiny")
    flag("--stem", choices=["imagenet", "cifar", "small"], help="default: small for resnet-tiny, else cifar")
    flag("--image-size", type=int, default=32, help="28: as the files have them")
    flag("-b", "--batch-size", type=int, default=256)
    flag("--epochs", type=int, default=5)
    flag("--optimizer", choices=["sgd", "adamw"], default="sgd")
    flag("--lr", type=float, default=0.03)
    flag("--momentum", type=float, default=0.9)
    flag("--wd", "--weight-decay", dest="wd", type=float, default=1e-4)
    flag("--schedule", type=int, nargs="*", default=[120, 160])
    flag("--cos", action=argparse.BooleanOptionalAction, help="default: with moco-v2")
    flag("--lr-per-step", action="store_true")
    flag("--warmup-epochs", type=float, default=0)
    flag("--moco-dim", type=int, default=128)
    flag("--moco-k", type=int, default=4096)
    flag("--moco-m", type=float, default=0.999)
    flag("--moco-t", type=float, help="default: 0.2, moco-v1: 0.07")
    flag("--mlp", action=argparse.BooleanOptionalAction, help="default: with moco-v2")
    flag("--aug-plus", action=argparse.BooleanOptionalAction, help="default: with moco-v2")
    flag("--crop-min", type=float, default=0.2)
    flag("--symmetric", action="store_true")
    flag("--bn", choices=["shuffle", "split", "plain"], default="shuffle", help="shuffle: split, and keys permuted")
    flag("--bn-splits", type=int, default=8)
    flag("--seed", type=int, default=0)
    flag("-j", "--workers", type=int, default=1)
    flag("--threads", type=int, default=torch.get_num_threads())
    flag("--format", choices=["contiguous", "channels_last"], default="contiguous")
    flag("--limit", type=int, help="use only so many training images (a try-out)")
    flag("--max-steps", type=int, help="stop after so many steps (a try-out)")
    args = parser.parse_args()
    v2 = args.method == "moco-v2"
    for name in ("cos", "mlp", "aug_plus"):
        if getattr(args, name) is None:
            setattr(args, name, v2)
    args.stem = args.stem or ("small" if args.arch == "resnet-tiny" else "cifar")
    return args


def learning_rate(args: argparse.Namespace, epoch: float) -> float:
    """Of MoCo v1 and v2: by whole epochs, a cosine or steps, after an optional linear rise."""
    if epoch < args.warmup_epochs:
        return args.lr * epoch / args.warmup_epochs
    if args.cos:
        done = (epoch - args.warmup_epochs) / (args.epochs - args.warmup_epochs)
        return args.lr * 0.5 * (1 + math.cos(math.pi * done))
    return args.lr * 0.1 ** sum(epoch >= milestone for milestone in args.schedule)


@torch.no_grad()
def features(model: nn.Module, images: np.ndarray, size: int) -> Tensor:
    """Unit features [N, width] after the average pool, BN in evaluation mode."""
    head, model.fc = model.fc, nn.Identity()
    model.eval()
    parts = [F.normalize(model(eval_transform(images[i : i + 500], size)), dim=1) for i in range(0, len(images), 500)]
    model.train()
    model.fc = head
    return torch.cat(parts)


def knn(bank: Tensor, labels: Tensor, queries: Tensor, truth: Tensor, k: int = 200, t: float = 0.1) -> float:
    """Accuracy in percent of the vote of the k nearest, each of weight exp(similarity / t) (InstDisc, section 3.4)."""
    correct, classes = 0, int(labels.max()) + 1
    for part, wanted in zip(queries.split(500), truth.split(500)):
        similarity, nearest = (part @ bank.T).topk(min(k, len(bank)), 1)
        votes = torch.zeros(len(part), classes).scatter_add_(1, labels[nearest], (similarity / t).exp())
        correct += int((votes.argmax(1) == wanted).sum())
    return 100 * correct / len(queries)


def make(args: argparse.Namespace) -> Moco:
    bn = "plain" if args.bn == "plain" else "split"
    spec = Spec(
        method=args.method, arch=args.arch, stem=args.stem, dim=args.moco_dim, mlp=args.mlp, K=args.moco_k,
        m=args.moco_m, t=args.moco_t, lr=args.lr, momentum=args.momentum, wd=args.wd, bn=bn,
        bnSplits=args.bn_splits, symmetric=args.symmetric,
    )  # fmt: skip
    moco = Moco(spec, channels_last=args.format == "channels_last")
    if args.optimizer == "adamw":
        moco.start(torch.optim.AdamW(moco.q.parameters(), args.lr, weight_decay=args.wd, fused=True))
    else:
        moco.start(torch.optim.SGD(moco.q.parameters(), args.lr, args.momentum, weight_decay=args.wd, fused=True))
    return moco


def train(args: argparse.Namespace, moco: Moco, images: np.ndarray) -> list[dict[str, float]]:
    """One record per epoch: rate of its first step, mean loss, contrastive accuracy in percent, seconds."""
    dataset = TwoViews(images, view(args.image_size, args.crop_min, args.aug_plus))
    loader = DataLoader(
        dataset, args.batch_size, shuffle=True, drop_last=True, num_workers=args.workers,
        persistent_workers=args.workers > 0, prefetch_factor=4 if args.workers else None,
        generator=torch.Generator().manual_seed(args.seed),
    )  # fmt: skip
    history, steps = [], 0
    for epoch in range(args.epochs):
        started, losses, hits = time.perf_counter(), [], []
        for i, (xq, xk) in enumerate(loader):
            rate = learning_rate(args, epoch + (i / len(loader) if args.lr_per_step else 0))
            for group in moco.optimizer.param_groups:
                group["lr"] = rate
            loss, logits = moco.step(xq, xk, torch.randperm(len(xq)) if args.bn == "shuffle" else None)
            losses.append(float(loss))
            hits.append(float((logits.argmax(1) == 0).float().mean()))
            steps += 1
            if steps == args.max_steps:
                break
        record = {"epoch": epoch, "lr": learning_rate(args, epoch), "loss": float(np.mean(losses))}
        record |= {"acc1": 100 * float(np.mean(hits)), "seconds": time.perf_counter() - started}
        history.append(record)
        print(json.dumps(record), file=sys.stderr, flush=True)
        if steps == args.max_steps:
            break
    return history


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train_images, train_labels = load(args.data, "train", args.limit)
    test_images, test_labels = load(args.data, "t10k")
    moco = make(args)

    def evaluate() -> float:
        bank, queries = (features(moco.q, p, args.image_size) for p in (train_images, test_images))
        return knn(bank, torch.from_numpy(train_labels).long(), queries, torch.from_numpy(test_labels).long())

    before = evaluate()
    history = train(args, moco, train_images)
    after = evaluate()
    settings = {n: str(v) if isinstance(v, Path) else v for n, v in vars(args).items()}
    result = {"peer": f"PyTorch {torch.__version__}", **settings, "epochsRun": history}
    print(json.dumps(result | {"knnBefore": before, "knn": after, "testImages": len(test_images)}))


if __name__ == "__main__":
    main()
