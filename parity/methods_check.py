"""LARS, NT-Xent and the loss over a memory bank of methods.py against lightly's (1.6) and timm's (1.0), as relative
differences. Neither library is needed for the fixtures.

LARS differs by the decay, relative to its size: both divide by |g| + decay |p| as the first paper does, where SimCLR and
MoCo v3 divide by |g + decay p|. lightly's InfoNCE scales the bank's float32 rows to unit length again: 3e-9.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from lightly.loss import NTXentLoss
from lightly.utils.lars import LARS
from timm.optim.lars import Lars as TimmLars
from torch import Tensor

from methods import BANK, Bank, Lars, nt_xent


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def lars_difference(kind: str, decay: float) -> float:
    """What 20 steps change in a matrix, against the library's, by the same gradients."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(16, 12, generator=generator)
    mine, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    ours = Lars([mine], 2.0, 0.9, decay, 1e-3)
    options = {"lr": 2.0, "momentum": 0.9, "weight_decay": decay}
    other = LARS([theirs], **options) if kind == "lightly" else TimmLars([theirs], **options, always_adapt=True)
    for _ in range(20):
        gradient = torch.randn(16, 12, generator=generator)
        mine.grad, theirs.grad = gradient.clone(), gradient.clone()
        ours.step()
        other.step()
    return relative(mine.detach() - start, theirs.detach() - start)


def check() -> None:
    for kind in ("lightly", "timm"):
        for decay in (0.0, 1e-6, 1e-2):
            if kind == "lightly" and decay == 0:
                continue  # it adapts nothing then
            print(f"LARS, {kind}, decay {decay}: {lars_difference(kind, decay):.1e}")

    generator = torch.Generator().manual_seed(1)
    first, second = (F.normalize(torch.randn(16, 8, generator=generator), dim=1) for _ in range(2))
    for t in (0.1, 0.5):
        mine, theirs = nt_xent(first, second, t), NTXentLoss(temperature=t)(first, second)
        print(f"NT-Xent, lightly, T {t}: {relative(mine, theirs):.1e}")

    # lightly's bank is a ring, without slots for images; its loss over a bank's content is the same.
    bank = Bank(BANK | {"loss": "infonce", "negatives": 32, "temperature": 0.25, "proximal": 0.0})
    index = torch.arange(16)
    mine = bank.loss(first, index, torch.arange(32))
    module = NTXentLoss(temperature=0.25, memory_bank_size=(32, 8))
    module.memory_bank.bank = bank.features.clone()
    theirs = module(first, bank.features[index])
    print(f"InfoNCE over a bank, lightly: {relative(mine, theirs):.1e}")


if __name__ == "__main__":
    check()
