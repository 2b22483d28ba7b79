"""Fashion-MNIST for PyTorch: idx files in RAM, the two views of MoCo v1 and v2, and the eval transform."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import transforms as T

# ImageNet's channels, as `moco pretrain` has them whatever the images.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def read_idx(folder: Path, name: str) -> np.ndarray:
    """The bytes of `name` or `name.gz` in the shape that its header tells."""
    path = folder / name
    data = path.read_bytes() if path.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    dimensions = data[3]
    shape = np.frombuffer(data, ">u4", dimensions, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()


def load(folder: Path, split: str, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 28, 28] and labels [N] of `train` or `t10k`."""
    return tuple(read_idx(folder, f"{split}-{kind}-ubyte")[:limit] for kind in ("images-idx3", "labels-idx1"))


class Blur:
    """Sigma from U(.1, 2); Pillow's three box blurs, as the MoCo recipes use them."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(float(torch.empty(()).uniform_(0.1, 2.0))))


def view(size: int, crop_min: float, aug_plus: bool) -> T.Compose:
    """The views of MoCo v1, or of v2 (aug-plus)."""
    crop = T.RandomResizedCrop(size, (crop_min, 1.0))
    gray, flip = T.RandomGrayscale(0.2), T.RandomHorizontalFlip()
    if aug_plus:
        jitter = T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8)
        steps = [crop, jitter, gray, T.RandomApply([Blur()], 0.5), flip]
    else:
        steps = [crop, gray, T.ColorJitter(0.4, 0.4, 0.4, 0.4), flip]
    return T.Compose([*steps, T.ToTensor(), T.Normalize(MEAN, STD)])


class TwoViews(Dataset[tuple[Tensor, Tensor]]):
    """Pairs of views [3, size, size] of each image, grey repeated to RGB."""

    def __init__(self, images: np.ndarray, transform: T.Compose) -> None:
        self.images = images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = Image.fromarray(self.images[index]).convert("RGB")
        return self.transform(image), self.transform(image)


def eval_transform(images: np.ndarray, size: int) -> Tensor:
    """All images resized and normalised: [N, 3, size, size]."""
    if images.shape[1] != size:
        resized = [Image.fromarray(p).resize((size, size), Image.Resampling.BILINEAR) for p in images]
        images = np.stack([np.asarray(p) for p in resized])
    x = torch.from_numpy(images).float().div_(255)[:, None]
    return (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
