"""MoCo v1/v2 (arXiv 1911.05722, 2003.04297) on one rank in plain PyTorch: the yardstick of parity and benchmarks.

One step, in this order:
1. q = normalize(f_q(x_q)), BN in training mode.
2. Parameters of f_k become m * k + (1 - m) * q, with q as it is before the optimizer's step. BN buffers stay apart.
3. k = normalize(f_k(x_k[perm])) without gradient, BN in training mode, then put back into the batch's order.
4. loss = cross entropy of [q.k, q @ queue] / T with label 0, the queue as it was before this step's keys.
5. The keys overwrite the queue's columns at the pointer; SGD steps on f_q.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models.resnet import BasicBlock, ResNet


@dataclass
class Spec:
    """What `moco replay` reads as SPEC.json, with the same names. `steps` None means: as many as there are batches."""

    method: str = "moco-v2"
    arch: str = "resnet18"
    stem: str | None = "cifar"
    dim: int = 128
    mlp: bool | None = None
    K: int = 4096
    m: float = 0.999
    t: float | None = None
    lr: float = 0.03
    momentum: float = 0.9
    wd: float = 1e-4
    bn: str = "split"
    bnSplits: int = 8
    symmetric: bool = False
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.method not in ("moco-v1", "moco-v2"):
            raise ValueError(f"method {self.method!r}: moco-v1 or moco-v2 expected")
        if self.stem not in ("imagenet", "cifar", "small", None):
            raise ValueError(f"stem {self.stem!r}: imagenet, cifar or small expected")
        if self.bn not in ("split", "shuffle", "sync", "plain"):
            raise ValueError(f"bn {self.bn!r}: split, shuffle, sync or plain expected")
        v2 = self.method == "moco-v2"
        self.mlp = v2 if self.mlp is None else self.mlp
        self.t = (0.2 if v2 else 0.07) if self.t is None else self.t

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Spec:
        """Fills in the defaults; null stands for the default."""
        value = {n: v for n, v in value.items() if v is not None}
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(value) - known)
        if unknown:
            raise ValueError(f"unknown in SPEC: {', '.join(unknown)}")
        return cls(**value)


class SplitBatchNorm(nn.BatchNorm2d):
    """BN over `splits` groups of the batch, as if each were on a device of its own: sample n is in group n % splits.

    The running estimates become the mean over the groups of what each group alone would have made of them.
    """

    def __init__(self, channels: int, splits: int = 8) -> None:
        super().__init__(channels)
        self.splits = splits

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        g = self.splits
        n, c, h, w = x.shape
        if n % g:
            raise ValueError(f"a batch of {n} does not split into {g} equal groups")
        mean, var = self.running_mean.repeat(g), self.running_var.repeat(g)
        grouped = x.reshape(n // g, g * c, h, w)
        y = F.batch_norm(grouped, mean, var, self.weight.repeat(g), self.bias.repeat(g), True, self.momentum, self.eps)
        self.running_mean.copy_(mean.view(g, c).mean(0))
        self.running_var.copy_(var.view(g, c).mean(0))
        return y.view(n, c, h, w)


def v3_head(
    layers: int,
    inputs: int,
    hidden: int,
    outputs: int,
    last_norm: bool,
    norm: Callable[..., nn.Module] = nn.BatchNorm1d,
) -> nn.Sequential:
    """A projector or predictor of MoCo v3: linear layers without bias, normalised, the last one without scale and shift."""
    parts: list[nn.Module] = []
    for layer in range(layers):
        last = layer == layers - 1
        width = outputs if last else hidden
        parts.append(nn.Linear(hidden if layer else inputs, width, bias=False))
        if not last:
            parts += [norm(width), nn.ReLU()]
        elif last_norm:
            parts.append(norm(width, affine=False))
    return nn.Sequential(*parts)


class TinyResNet(ResNet):
    """`resnet-tiny`, `resnet-micro` (width 8): a BasicBlock per stage, of width to 8 x width channels; names as torchvision's."""

    def __init__(self, num_classes: int, norm_layer: Callable[..., nn.Module], width: int = 32) -> None:
        super().__init__(BasicBlock, [1, 1, 1, 1], norm_layer=norm_layer)
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = norm_layer(width)
        for i in range(4):
            setattr(self, f"layer{i + 1}", self._make_layer(BasicBlock, width << i, 1, stride=min(i, 1) + 1))
        self.fc = nn.Linear(width * 8, num_classes)


class VitWithHead(nn.Module):
    """timm's `vit_small_patch16_224` and its like with MoCo v3's heads, fixed positions and frozen patch projection, and a head."""

    def __init__(self, arch: str, dim: int, mlp: bool) -> None:
        super().__init__()
        import timm

        heads = {"num_heads": 12} if arch == "vit_small" else {}
        self.body = timm.create_model(f"{arch}_patch16_224", num_classes=0, **heads)
        self.body.pos_embed.requires_grad_(False)
        self.body.patch_embed.requires_grad_(False)
        width = self.body.num_features
        self.fc: nn.Module = nn.Linear(width, dim)
        if mlp:
            self.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x))


def build_encoder(arch: str, stem: str | None, dim: int, mlp: bool, splits: int | None = None) -> nn.Module:
    """A ResNet of torchvision, or a small one, with MoCo's head as `fc`; initialised as torchvision does it. Or a ViT of timm.

    `splits` None is plain BN. Stems: imagenet; cifar, a 3x3 stride-1 conv1 and no max-pool; small, the same with
    stride 2. Default: small for the small ResNets, else imagenet.
    """
    if arch.startswith("vit_"):
        return VitWithHead(arch, dim, mlp)
    norm = nn.BatchNorm2d if splits is None else partial(SplitBatchNorm, splits=splits)
    tiny = {"resnet-tiny": 32, "resnet-micro": 8}.get(arch)
    model = TinyResNet(dim, norm, tiny) if tiny else get_model(arch, weights=None, num_classes=dim, norm_layer=norm)
    stem = stem or ("small" if tiny else "imagenet")
    if stem != "imagenet":
        model.conv1 = nn.Conv2d(3, model.conv1.out_channels, 3, 2 if stem == "small" else 1, 1, bias=False)
        model.maxpool = nn.Identity()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if mlp:
        width = model.fc.in_features
        model.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))
    return model


class Moco:
    """Both encoders, the queue and SGD."""

    def __init__(self, spec: Spec, dtype: torch.dtype = torch.float32, channels_last: bool = False) -> None:
        self.spec = spec
        layout = torch.channels_last if channels_last else torch.contiguous_format
        splits = spec.bnSplits if spec.bn == "split" else None
        make = partial(build_encoder, spec.arch, spec.stem, spec.dim, bool(spec.mlp), splits)
        self.q = make().to(dtype=dtype, memory_format=layout)
        self.k = make().to(dtype=dtype, memory_format=layout)
        self.layout = layout
        self.queue = F.normalize(torch.randn(spec.dim, spec.K, dtype=dtype), dim=0)
        self.ptr = 0
        self.start()

    def start(self, optimizer: torch.optim.Optimizer | None = None, k: dict[str, Tensor] | None = None) -> None:
        """Makes k equal to q (or to the state given) and the optimizer new. Call it after loading weights into q."""
        self.k.load_state_dict(k or self.q.state_dict(), strict=k is None)
        self.k.requires_grad_(False)
        self.q.train()
        self.k.train()
        spec = self.spec
        self.optimizer = optimizer or torch.optim.SGD(
            [p for p in self.q.parameters() if p.requires_grad], lr=spec.lr, momentum=spec.momentum, weight_decay=spec.wd
        )
        self._q_params = [p.detach() for p in self.q.parameters()]
        self._k_params = list(self.k.parameters())

    @torch.no_grad()
    def update_key_encoder(self) -> None:
        torch._foreach_mul_(self._k_params, self.spec.m)
        torch._foreach_add_(self._k_params, self._q_params, alpha=1 - self.spec.m)

    @torch.no_grad()
    def keys(self, x: Tensor, perm: Tensor | None) -> Tensor:
        """Unit keys [N, dim] of x, computed in the order of `perm` and returned in the order of x."""
        if perm is None:
            return F.normalize(self.k(x), dim=1)
        shuffled = F.normalize(self.k(x[perm]), dim=1)
        keys = torch.empty_like(shuffled)
        keys[perm] = shuffled
        return keys

    def logits(self, q: Tensor, k: Tensor) -> Tensor:
        """[N, 1 + K], the positive first."""
        positive = (q * k).sum(1, keepdim=True)
        return torch.cat([positive, q @ self.queue], 1) / self.spec.t

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        n, size = len(keys), self.spec.K
        if size % n:
            raise ValueError(f"K = {size} is no multiple of the {n} keys of one step")
        self.queue[:, self.ptr : self.ptr + n] = keys.T
        self.ptr = (self.ptr + n) % size

    def step(self, xq: Tensor, xk: Tensor, perm: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One training step on views xq, xk [N, 3, H, W]. Returns the loss and the (first direction's) logits.

        Symmetric: the loss is the sum of both directions, not their mean; both see the same queue and the same
        `perm`; the order of the forward passes, which BN's running estimates feel, is q(xq), k(xk), q(xk), k(xq);
        the queue then takes the keys of xq followed by those of xk.
        """
        xq = xq.contiguous(memory_format=self.layout)
        xk = xk.contiguous(memory_format=self.layout)
        self.optimizer.zero_grad(set_to_none=True)
        q = F.normalize(self.q(xq), dim=1)
        self.update_key_encoder()
        keys = self.keys(xk, perm)
        logits = self.logits(q, keys)
        labels = torch.zeros(len(q), dtype=torch.long)
        loss = F.cross_entropy(logits, labels)
        if self.spec.symmetric:
            q2 = F.normalize(self.q(xk), dim=1)
            keys2 = self.keys(xq, perm)
            loss = loss + F.cross_entropy(self.logits(q2, keys2), labels)
            keys = torch.cat([keys2, keys])
        loss.backward()
        self.enqueue(keys)
        self.optimizer.step()
        return loss.detach(), logits.detach()


def named_state(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Parameters and BN running estimates in torchvision's order, without `num_batches_tracked`."""
    return ((n, v) for n, v in model.state_dict().items() if not n.endswith("num_batches_tracked"))
