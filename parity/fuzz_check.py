"""Damaged files that were read all the same, against PyTorch: python fuzz_check.py FOLDER, of `node scripts/fuzz.mjs --keep`.

Whatever is read here must be what torch.load(weights_only=True), or safetensors, reads from the same bytes; files that those
refuse are counted. Exits 1 on a difference.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, load_file
from torch import Tensor


def tensors_in(value: Any) -> dict[str, Tensor]:
    for wrapper in ("state_dict", "model"):
        if isinstance(value, dict) and isinstance(value.get(wrapper), dict):
            value = value[wrapper]
            break
    return {n: v for n, v in value.items() if isinstance(v, Tensor) and isinstance(n, str)}


def same(here: Tensor, there: Tensor) -> bool:
    """Floats became float32 here, integers int32."""
    there = there.detach()
    return here.shape == there.shape and torch.equal(torch.nan_to_num(here), torch.nan_to_num(there.to(here.dtype)))


def theirs(path: Path) -> dict[str, Tensor]:
    if path.name.startswith("torch"):
        with torch.serialization.safe_globals([argparse.Namespace]):
            return tensors_in(torch.load(path, weights_only=True))
    return load(path.read_bytes())


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    same_files, refused, wrong = 0, [], []
    for path in sorted(parser.parse_args().folder.glob("*.file")):
        here = load_file(path.with_suffix(".safetensors"))
        here.pop("settings", None)
        try:
            there = theirs(path)
        except Exception as error:  # whatever a damaged file makes of a reader
            refused.append(f"{path.name}: {str(error).splitlines()[0][:120] if str(error) else type(error).__name__}")
            continue
        odd = [n for n, v in here.items() if n not in there or not same(v, there[n])]
        if odd:
            wrong.append(f"{path.name}: {', '.join(odd[:3])}")
        else:
            same_files += 1
    print(f"{same_files} files the same, {len(refused)} refused by the peer alone, {len(wrong)} different")
    for line in refused + wrong:
        print(f"  {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
