"""Files of torch.save as fixtures, and the features that PyTorch computes from them: parity/fixtures/exchange/.

The networks are tiny; what varies is the format: zip and legacy, half precision, shared and strided storages, and the
names of the official MoCo checkpoints with what else is in them. Pickles hold addresses, so a new run gives other bytes
of the same meaning: make fixtures anew only for a reason.
"""

from __future__ import annotations

import argparse
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moco_torch import TinyResNet
from philox import Rng
from vit import positions

SEED, BATCH, SIDE = 7, 3, 16
OUT = Path(__file__).parent / "fixtures" / "exchange"
WIDTH, DIM, HIDDEN = 2, 4, 6
VIT = {"img_size": SIDE, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 4}


def uniform(purpose: str, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    """float32 values, the same bits in numpy and in JavaScript."""
    values = Rng(SEED, f"exchange/{purpose}").uniform(math.prod(shape), low, high)
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def fill(model: nn.Module, purpose: str) -> nn.Module:
    """Nothing stays at 0 or 1, where mistakes hide."""
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            value.fill_(12)
        elif name == "pos_embed":
            value.copy_(positions(VIT["embed_dim"], SIDE // VIT["patch_size"]))
        elif value.ndim > 1:
            bound = math.sqrt(6 / math.prod(value.shape[1:]))
            value.copy_(uniform(f"{purpose}/{name}", tuple(value.shape), -bound, bound))
        else:
            low, high = (0.5, 1.5) if name.endswith(("weight", "running_var")) else (-0.3, 0.3)
            value.copy_(uniform(f"{purpose}/{name}", tuple(value.shape), low, high))
    return model.eval()


def resnet(head: str, purpose: str) -> nn.Module:
    """One basic block per stage, 2, 4, 8 and 16 channels wide, with a head as MoCo v1 or v2 has it."""
    model = TinyResNet(DIM, nn.BatchNorm2d, WIDTH)
    width = 8 * WIDTH
    if head == "mlp":
        model.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, DIM))
    return fill(model, purpose)


def vit(projector: bool, purpose: str) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    model = VisionTransformer(**VIT, num_classes=0, norm_layer=partial(nn.LayerNorm, eps=1e-6))
    if projector:
        layers: list[nn.Module] = []
        sizes = [VIT["embed_dim"], HIDDEN, HIDDEN, DIM]
        for i in range(3):
            last = i == 2
            layers += [nn.Linear(sizes[i], sizes[i + 1], bias=False), nn.BatchNorm1d(sizes[i + 1], affine=not last)]
            layers += [] if last else [nn.ReLU()]
        model.head = nn.Sequential(*layers)
    return fill(model, purpose)


def image() -> Tensor:
    return uniform("picture", (BATCH, 3, SIDE, SIDE), -2, 2)


@torch.no_grad()
def results(model: nn.Module, head: str | None) -> dict[str, list[float]]:
    """In float64: features before the head, and unit vectors behind it."""
    model = model.double()
    queries = None if head is None else F.normalize(model(image().double()), dim=1)
    for name in ("fc", "head"):
        if hasattr(model, name):
            setattr(model, name, nn.Identity())
    out = {"features": model(image().double()).flatten().tolist()}
    return out if queries is None else out | {"queries": queries.flatten().tolist()}


def moco(query: nn.Module, key: nn.Module) -> nn.Module:
    """As the official checkpoints have it: both encoders, the queue and its pointer."""
    both = nn.Module()
    both.encoder_q, both.encoder_k = query, key
    both.register_buffer("queue", F.normalize(uniform("queue", (DIM, 8), -1, 1), dim=0))
    both.register_buffer("queue_ptr", torch.tensor([6]))
    return both


def v3(base: nn.Module, momentum: nn.Module) -> nn.Module:
    both = nn.Module()
    both.base_encoder, both.momentum_encoder = base, momentum
    both.predictor = nn.Sequential(nn.Linear(DIM, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU())
    return both


def checkpoint(model: nn.Module, arch: str, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """After one step, so that the optimizer has a state, which does not change the weights: the rate is 0."""
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    return {"epoch": 200, "arch": arch, "state_dict": state, "optimizer": optimizer.state_dict()}


def one_storage(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same values as views of one storage, each matrix and filter stored with its axes reversed."""
    stored = {n: v.permute(*reversed(range(v.ndim))).contiguous() for n, v in state.items() if v.is_floating_point()}
    flat = torch.cat([v.flatten() for v in stored.values()])
    out, at = {}, 0
    for name, value in stored.items():
        view = flat[at : at + value.numel()].view(value.shape)
        out[name] = view.permute(*reversed(range(view.ndim)))
        at += value.numel()
    return out


def kinds() -> dict[str, Any]:
    """One of everything that is read."""
    numbers = [0, 1, -1, 255, 70000, 2**40, -(2**70), 0.1, -math.inf]
    base = torch.arange(24.0).reshape(2, 3, 4)
    return {
        "values": [None, True, False, numbers, "text – é", b"\x00\xffbytes", (), (1, (2,)), {"a": [1]}, {3}],
        "namespace": argparse.Namespace(lr=0.03, schedule=[120, 160]),
        "size": base.shape,
        "dtype": torch.float32,
        "float64": torch.tensor([0.1, 1e300, -2.0], dtype=torch.float64),
        "float16": torch.tensor([1.0, -0.5, 65504, 2**-24, math.inf], dtype=torch.float16),
        "bfloat16": torch.tensor([1.0, -3.140625, 1e30], dtype=torch.bfloat16),
        "int64": torch.tensor([-1, 2**31 - 1, -(2**31)]),
        "wide": torch.tensor([2**31]),
        "int32": torch.tensor([7, -7], dtype=torch.int32),
        "int16": torch.tensor([7, -7], dtype=torch.int16),
        "int8": torch.tensor([7, -7], dtype=torch.int8),
        "uint8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "complex64": torch.tensor([1j]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 2),
        "base": base,
        "view": base[1, :, 1:3],
        "transposed": base.transpose(0, 2),
        "repeated": torch.tensor([[1.0], [2.0]]).expand(2, 3),
        "parameter": nn.Parameter(torch.ones(2)),
    }


class Runs:
    """What a hostile file has: unpickled by Python, it would make a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch code-of-a-file-was-run",)


def main() -> None:
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    expected: dict[str, Any] = {}

    def save(name: str, value: object, legacy: bool = False) -> None:
        torch.save(value, OUT / name, _use_new_zipfile_serialization=not legacy)

    for name, legacy in (("v2.pth.tar", False), ("v2-legacy.pth.tar", True)):
        model = moco(resnet("mlp", "q"), resnet("mlp", "k"))
        sgd = torch.optim.SGD(model.encoder_q.parameters(), lr=0.0, momentum=0.9)
        save(name, checkpoint(model, "resnet18", sgd), legacy)
        expected[name] = {"head": "mlp"} | results(model.encoder_q, "mlp")
        expected[name] |= {"key": results(model.encoder_k, "mlp"), "queue": model.queue.flatten().tolist()}
    model = moco(resnet("linear", "q"), resnet("linear", "k"))
    save("v1-legacy.pth.tar", checkpoint(model, "resnet18", torch.optim.SGD(model.encoder_q.parameters(), lr=0.0)), True)
    expected["v1-legacy.pth.tar"] = {"head": "linear"} | results(model.encoder_q, "linear")

    for name, dtype in (("half.pth", torch.float16), ("bfloat16.pth", torch.bfloat16)):
        network = resnet("linear", "plain").to(dtype)
        save(name, network.state_dict())
        expected[name] = results(network, None)
    for name, legacy in (("shared.pth", False), ("shared-legacy.pth", True)):
        network = resnet("linear", "plain")
        save(name, one_storage(network.state_dict()), legacy)
        expected[name] = results(network, None)

    both = v3(vit(True, "base"), vit(True, "momentum"))
    adamw = torch.optim.AdamW(both.base_encoder.parameters(), lr=0.0, weight_decay=0.0)
    save("v3-vit.pth.tar", checkpoint(both, "vit_small", adamw))
    expected["v3-vit.pth.tar"] = {"head": "projector"} | results(both.base_encoder, "projector")
    network = vit(False, "timm")
    save("timm-vit.pth", {"model": network.state_dict()})
    expected["timm-vit.pth"] = results(network, None)

    everything = kinds()
    save("kinds.pth", everything)
    save("kinds-legacy.pth", everything, legacy=True)
    save("hostile.pth", {"state_dict": {"w": torch.ones(1)}, "epoch": Runs()})
    save("hostile-legacy.pth", {"state_dict": {"w": torch.ones(1)}, "epoch": Runs()}, legacy=True)
    tensors = {n: v.tolist() for n, v in everything.items() if isinstance(v, Tensor) and not v.is_complex()}
    expected |= {"tensors": {n: {"shape": list(everything[n].shape), "values": v} for n, v in tensors.items()}}
    document = {"torch": torch.__version__.split("+")[0], "seed": SEED, "batch": BATCH, "side": SIDE} | expected
    text = json.dumps(document, separators=(",", ":")).replace("-Infinity", '"-inf"').replace("Infinity", '"inf"')
    (OUT / "expected.json").write_text(text + "\n")
    print(f"exchange: {sum(f.stat().st_size for f in OUT.iterdir()) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
