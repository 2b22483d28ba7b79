"""Checks exported encoders: python onnx_check.py MODEL.onnx... [--random-seed N]; prints JSON, exits 1 on a fault.

onnx.checker with full shape inference must accept it, ONNX Runtime must run it with batches of 1 and 3, the results
must be finite, and the first image's features must not depend on what else is in the batch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when it is imported
import onnxruntime  # noqa: E402

TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(uint8)": np.uint8}
FREE_SIDE = 32  # pixels, where the height or width of an image is free


def example(shape: list[int | str | None], kind: str, batch: int, random: np.random.Generator) -> np.ndarray:
    """A batch of images: bytes, or normal values. Its first row is the same whatever the batch."""
    sides = [s if isinstance(s, int) else FREE_SIDE for s in shape[1:]]
    values = random.standard_normal((batch, *sides))
    return (np.clip(128 + 50 * values, 0, 255) if kind == "tensor(uint8)" else values).astype(TYPES[kind])


def value_info(value: onnxruntime.NodeArg) -> dict[str, Any]:
    return {"name": value.name, "type": value.type, "shape": value.shape}


def check(path: Path, seed: int) -> dict[str, Any]:
    faults: list[str] = []
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        faults.append(f"onnx.checker: {error}")
    model = onnx.load(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()
    for value in (*inputs, *outputs):
        if not value.shape or isinstance(value.shape[0], int):
            faults.append(f"{value.name} {value.shape}: the batch is not free")
    results: dict[int, list[np.ndarray]] = {}
    for batch in (1, 3):
        feeds = {v.name: example(v.shape, v.type, batch, np.random.default_rng(seed)) for v in inputs}
        try:
            results[batch] = session.run(None, feeds)
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            faults.append(f"batch {batch}: {error}")
    difference = 0.0
    for batch, result in results.items():
        for value, array in zip(outputs, result):
            if array.shape[:1] != (batch,):
                faults.append(f"{value.name}: {list(array.shape)} for a batch of {batch}")
            if not np.isfinite(array).all():
                faults.append(f"{value.name}: not finite for a batch of {batch}")
    if len(results) == 2:
        pairs = zip(results[1], results[3])
        difference = max(float(np.abs(a[0] - b[0]).max() / max(1e-12, np.abs(a[0]).max())) for a, b in pairs)
        # Ranges that are found as images come are those of the batch.
        found_as_they_come = any(node.op_type == "DynamicQuantizeLinear" for node in model.graph.node)
        if not difference < (0.1 if found_as_they_come else 1e-4):
            faults.append(f"the first image's features differ by {difference:.1e} between batches of 1 and 3")
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "ok": not faults,
        "faults": faults,
        "irVersion": model.ir_version,
        "opsets": {o.domain or "ai.onnx": o.version for o in model.opset_import},
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "nodes": len(model.graph.node),
        "inputs": [value_info(v) for v in inputs],
        "outputs": [value_info(v) for v in outputs],
        "resultShapes": {str(b): [list(a.shape) for a in r] for b, r in results.items()},
        "relativeDifferenceBetweenBatches": difference,
        "metadata": {p.key: p.value for p in model.metadata_props},
        "documentation": model.doc_string,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", metavar="model")
    parser.add_argument("--random-seed", type=int, default=0)
    args = parser.parse_args()
    results = [check(model, args.random_seed) for model in args.models]
    for result in results:
        print(json.dumps(result, indent=2))
    sys.exit(0 if all(result["ok"] for result in results) else 1)


if __name__ == "__main__":
    main()
