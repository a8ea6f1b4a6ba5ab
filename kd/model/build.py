"""Build a network from its spec."""

import torch
from torch import nn

from kd.model.spec import ModelSpec
from kd.model.yolov3 import YOLOv3
from kd.model.yolov3_tiny import YOLOv3Tiny

Network = YOLOv3 | YOLOv3Tiny
ARCHITECTURES: dict[str, type[Network]] = {"yolov3": YOLOv3, "yolov3-tiny": YOLOv3Tiny}


def build_model(spec: ModelSpec, seed: int = 0) -> Network:
    """A network with initial weights that depend on `seed` only; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return ARCHITECTURES[spec.architecture](spec)


def count_parameters(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in network.parameters())
