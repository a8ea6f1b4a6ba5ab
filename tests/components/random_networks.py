"""Untrained networks with many different detections."""

import torch

from kd.data.anchors import COCO_ANCHORS
from kd.model.blocks import Head
from kd.model.build import Network, build_model
from kd.model.spec import Architecture, ModelSpec

SIDE = 64


def random_network(architecture: Architecture = "yolov3-tiny", classes: int = 3, seed: int = 0) -> tuple[Network, ModelSpec]:
    """A tiny network with random weights; its features have unit variance on noise pictures and its scores cover 0..1."""
    names = tuple(f"class {index}" for index in range(classes))
    anchors = {stride: [(w / 6, h / 6) for w, h in boxes] for stride, boxes in COCO_ANCHORS[architecture].items()}
    spec = ModelSpec(architecture, 0.0625, 0.1, names, anchors, SIDE)
    network = build_model(spec, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
            if isinstance(module, Head):
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * 2 / module.in_channels**0.5)
                module.bias.zero_()  # type: ignore[union-attr]
        network.train()(torch.rand(8, 3, SIDE, SIDE, generator=generator))
    return network.eval(), spec
