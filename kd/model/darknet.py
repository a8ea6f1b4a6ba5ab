"""Darknet's .weights files, the format of the public YOLOv3 weights.

A header (three int32: major, minor, revision; then the number of pictures seen, int64 since version 0.2) is followed by
float32 values, convolution by convolution in the order of the cfg file: with batch normalization beta, gamma, mean,
variance and then the kernel; without, bias and then the kernel.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kd.data.anchors import COCO_ANCHORS, TINY_CFG_ANCHORS
from kd.errors import InputError
from kd.files import atomic_file
from kd.model.blocks import ConvBlock, Head
from kd.model.spec import ModelSpec

MAX_MAJOR, MAX_MINOR = 10, 1000
"""Limits of a version in the header, which the first bytes of other formats exceed; Darknet itself has the second one."""


def read_weights(path: Path, network: nn.Module) -> None:
    """Load the values of a .weights file into `network`.

    Raises:
        InputError: if the file is missing, or has fewer or more values than the network.
    """
    values = read_values(path)
    if len(values) != (expected := count_values(network)):
        problem = f"has {len(values):,} values, but the network has {expected:,}"
        raise InputError(path, problem, "check architecture, width, depth and classes")
    assign_values([network], values)


def write_weights(path: Path, network: nn.Module, seen: int = 0) -> None:
    """Write `network` as a .weights file of version 0.2; `seen` is the number of pictures it was trained on."""
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        file.write(np.array([0, 2, 0], dtype="<i4").tobytes() + np.array([seen], dtype="<i8").tobytes())
        for tensor in _tensors(network):
            file.write(tensor.detach().cpu().numpy().astype("<f4").tobytes())


def published_spec(architecture: str, classes: tuple[str, ...], tiny_anchors: str = "released") -> ModelSpec:
    """The spec of a released COCO network; with `tiny_anchors` "cfg", yolov3-tiny has the anchors of its cfg file."""
    anchors = TINY_CFG_ANCHORS if (architecture, tiny_anchors) == ("yolov3-tiny", "cfg") else COCO_ANCHORS[architecture]
    return ModelSpec(architecture, 1.0, 1.0, classes, anchors, 416)  # type: ignore[arg-type]


def count_values(module: nn.Module) -> int:
    """Number of values of a network, or of a part of it, in a .weights file."""
    return sum(tensor.numel() for tensor in _tensors(module))


@torch.no_grad()
def assign_values(modules: Iterable[nn.Module], values: np.ndarray) -> None:
    """Copy `values`, as many as the `modules` have, in the order of a .weights file."""
    start = 0
    for tensor in (tensor for module in modules for tensor in _tensors(module)):
        part = values[start : start + tensor.numel()]
        tensor.copy_(torch.from_numpy(part.copy()).view_as(tensor))
        start += tensor.numel()


def read_values(path: Path) -> np.ndarray:
    """All values of a .weights file.

    Raises:
        InputError: if the file is missing, too short for its header, of another format, or ends within a value.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(path, "is missing", "check the path") from None
    if len(content) < 20:
        raise InputError(path, "is too short for a .weights file", "download it again")
    major, minor = np.frombuffer(content, "<i4", count=2).tolist()
    if not (0 <= major < MAX_MAJOR and 0 <= minor < MAX_MINOR):
        raise InputError(path, "is not a .weights file of Darknet", "choose another file; the name of a kdflow model ends in .safetensors")
    header = 20 if major * 10 + minor >= 2 else 16
    if (len(content) - header) % 4:
        raise InputError(path, "ends within a value", "download it again")
    return np.frombuffer(content[header:], "<f4")


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """The module's tensors in the order of the file."""
    for part in module.modules():
        if isinstance(part, ConvBlock):
            norm = part.norm
            assert norm.running_mean is not None and norm.running_var is not None
            yield from (norm.bias, norm.weight, norm.running_mean, norm.running_var, part.convolution.weight)
        elif isinstance(part, Head):
            assert part.bias is not None
            yield from (part.bias, part.weight)
