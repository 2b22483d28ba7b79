"""The linear classifier of the MoCo papers on a frozen encoder, in PyTorch, on Fashion-MNIST.

Usage: python pytorch.py FOLDER ENCODER.safetensors [flags]; the encoder as `moco convert` writes it. The recipe is that of
MoCo v1's section 4.1: SGD at 30 without decay, features of the encoder in evaluation mode, one draw of crop and flip an
image. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "parity"), str(ROOT / "benchmarks" / "fashion-mnist")]
from data import MEAN, STD, eval_transform, load
from moco_torch import build_encoder


class Images(Dataset[tuple[Tensor, int]]):
    """One view [3, size, size] of each image with its label, grey repeated to RGB."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, size: int) -> None:
        self.images, self.labels = images, labels
        crop, flip = T.RandomResizedCrop(size), T.RandomHorizontalFlip()
        self.transform = T.Compose([crop, flip, T.ToTensor(), T.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index]).convert("RGB")), int(self.labels[index])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    flag = parser.add_argument
    flag("data", type=Path)
    flag("encoder", type=Path)
    flag("-a", "--arch", default="resnet-tiny")
    flag("--image-size", type=int, default=32)
    flag("--epochs", type=int, default=100)
    flag("-b", "--batch-size", type=int, default=256)
    flag("--lr", type=float, default=30.0)
    flag("--schedule", type=int, nargs="*", default=[60, 80])
    flag("--seed", type=int, default=0)
    flag("-j", "--workers", type=int, default=1)
    flag("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


@torch.no_grad()
def features(model: nn.Module, images: np.ndarray, size: int) -> Tensor:
    return torch.cat([model(eval_transform(images[i : i + 500], size)) for i in range(0, len(images), 500)])


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model = build_encoder(args.arch, None, 10, False)
    width = model.fc.in_features
    model.fc = nn.Identity()
    model.load_state_dict(load_file(args.encoder), strict=True)
    model.eval().requires_grad_(False)
    fc = nn.Linear(width, 10)
    nn.init.normal_(fc.weight, 0, 0.01)
    nn.init.zeros_(fc.bias)
    optimizer = torch.optim.SGD(fc.parameters(), args.lr, momentum=0.9, weight_decay=0)
    falls = torch.optim.lr_scheduler.MultiStepLR(optimizer, args.schedule)

    images, labels = load(args.data, "train")
    loader = DataLoader(
        Images(images, labels, args.image_size), args.batch_size, shuffle=True, num_workers=args.workers
    )
    test_images, test_labels = load(args.data, "t10k")
    test, truth = features(model, test_images, args.image_size), torch.from_numpy(test_labels).long()
    history: list[float] = []
    started = time.perf_counter()
    for epoch in range(args.epochs):
        total = 0.0
        for x, y in loader:
            with torch.no_grad():
                inputs = model(x)
            loss = F.cross_entropy(fc(inputs), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() / len(loader)
        falls.step()
        with torch.no_grad():
            history.append(100 * (fc(test).argmax(1) == truth).float().mean().item())
        pace = (time.perf_counter() - started) / (epoch + 1)
        print(f"epoch {epoch + 1}: loss {total:.4f}, test Acc@1 {history[-1]:.2f} %, {pace:.1f} s", file=sys.stderr)
    settings = {n: str(v) if isinstance(v, Path) else v for n, v in vars(args).items()}
    print(json.dumps({"peer": f"PyTorch {torch.__version__}", **settings, "acc1": history, "best": max(history)}))


if __name__ == "__main__":
    main()
