"""What detectron2 reads of a ResNet-50 by `moco convert --names detectron2`: python detectron2.py, after `npx tsc -b`.

A torchvision ResNet-50 with numbered values is saved as an official MoCo v2 checkpoint and converted. The pickle is read as
detectron2's checkpointer reads it, and must hold exactly what the official recipe gives: torchvision's tensors without the
head, as float32 NumPy arrays, by the names that follow from detectron2's modules. torch.from_numpy must take them without a
warning. Writes fixtures/detectron2.json: both names of each tensor, and the SHA-256 of the file that passed.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torchvision.models import resnet50

ROOT = Path(__file__).parent.parent
STATISTICS = ("weight", "bias", "running_mean", "running_var")


def recipe() -> dict[str, str]:
    """detectron2's name of each tensor by torchvision's, from the modules that either builds."""
    names = {"conv1.weight": "stem.conv1.weight"}
    for part in STATISTICS:
        names[f"bn1.{part}"] = f"stem.conv1.norm.{part}"
    for stage, blocks in enumerate([3, 4, 6, 3], 1):
        for block in range(blocks):
            ours, theirs = f"layer{stage}.{block}", f"res{stage + 1}.{block}"
            pairs = [(f"conv{i}", f"bn{i}", f"conv{i}") for i in (1, 2, 3)]
            if block == 0:
                pairs.append(("downsample.0", "downsample.1", "shortcut"))
            for conv, norm, name in pairs:
                names[f"{ours}.{conv}.weight"] = f"{theirs}.{name}.weight"
                for part in STATISTICS:
                    names[f"{ours}.{norm}.{part}"] = f"{theirs}.{name}.norm.{part}"
    return names


def numbered(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Element i of tensor t is (i + t) mod 251 / 256: exact in float32, and different in every tensor."""
    state = {name: value for name, value in model.state_dict().items() if "num_batches" not in name}
    return {
        name: ((torch.arange(value.numel()) + at) % 251 / 256).float().reshape(value.shape)
        for at, (name, value) in enumerate(state.items())
        if not name.startswith("fc.")
    }


def main() -> None:
    weights, names = numbered(resnet50()), recipe()
    assert weights.keys() == names.keys()
    head = {"fc.0.weight": torch.zeros(2048, 2048), "fc.0.bias": torch.zeros(2048)}
    head |= {"fc.2.weight": torch.zeros(8, 2048), "fc.2.bias": torch.zeros(8)}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "official.pth.tar"), Path(folder, "out.pkl")
        state = {f"module.encoder_q.{name}": value for name, value in (weights | head).items()}
        torch.save({"epoch": 200, "arch": "resnet50", "state_dict": state}, source)
        command = ["node", str(ROOT / "packages/cli/dist/bin.js"), "convert", str(source), "-o", str(target)]
        done = subprocess.run([*command, "--names", "detectron2"], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        data = target.read_bytes()
    read = pickle.loads(data, encoding="latin1")
    assert read.keys() == {"model", "__author__", "matching_heuristics"}, read.keys()
    assert read["matching_heuristics"] is True and isinstance(read["__author__"], str)
    assert list(read["model"]) == [names[name] for name in weights], "names"
    warnings.simplefilter("error")
    for name, value in weights.items():
        array = read["model"][names[name]]
        assert isinstance(array, np.ndarray) and array.dtype == np.float32 and array.flags.writeable, name
        assert torch.equal(torch.from_numpy(array), value), name
    out = {"names": names, "sha256": hashlib.sha256(data).hexdigest()}
    (Path(__file__).parent / "fixtures" / "detectron2.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(f"{len(names)} tensors by their names, equal to the bit")


if __name__ == "__main__":
    main()
