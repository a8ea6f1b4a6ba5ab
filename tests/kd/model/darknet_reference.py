"""An independent implementation of the published cfg files: their layers in order, and a function that runs them with raw values.

Layers: ("conv", filters, size, stride, normalized), ("pool", size, stride), ("shortcut", from), ("route", *from),
("upsample",), ("yolo",). Negative references count back from the layer itself, others are absolute, as in the cfg.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, interpolate, leaky_relu, max_pool2d, pad

Layer = tuple


def _residuals(channels: int, count: int) -> list[Layer]:
    return [("conv", channels, 3, 2, True)] + count * [
        ("conv", channels // 2, 1, 1, True),
        ("conv", channels, 3, 1, True),
        ("shortcut", -3),
    ]


def _five_and_head(channels: int, outputs: int) -> list[Layer]:
    pair: list[Layer] = [("conv", channels // 2, 1, 1, True), ("conv", channels, 3, 1, True)]
    return [*(3 * pair), ("conv", outputs, 1, 1, False), ("yolo",)]


def yolov3(outputs: int) -> list[Layer]:
    """yolov3.cfg."""
    backbone = [("conv", 32, 3, 1, True)]
    for channels, count in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        backbone += _residuals(channels, count)
    layers = backbone + _five_and_head(1024, outputs)
    for channels, lateral in ((512, 61), (256, 36)):
        layers += [("route", -4), ("conv", channels // 2, 1, 1, True), ("upsample",), ("route", -1, lateral)]
        layers += _five_and_head(channels, outputs)
    return layers


def yolov3_tiny(outputs: int) -> list[Layer]:
    """yolov3-tiny.cfg."""
    layers: list[Layer] = []
    for channels in (16, 32, 64, 128, 256):
        layers += [("conv", channels, 3, 1, True), ("pool", 2, 2)]
    layers += [("conv", 512, 3, 1, True), ("pool", 2, 1), ("conv", 1024, 3, 1, True)]
    layers += [("conv", 256, 1, 1, True), ("conv", 512, 3, 1, True), ("conv", outputs, 1, 1, False), ("yolo",)]
    layers += [("route", -4), ("conv", 128, 1, 1, True), ("upsample",), ("route", -1, 8)]
    return [*layers, ("conv", 256, 3, 1, True), ("conv", outputs, 1, 1, False), ("yolo",)]


def narrowed(layers: list[Layer], width: float) -> list[Layer]:
    """The same layers with `width` times the filters; the heads are unchanged."""
    return [("conv", int(x[1] * width), *x[2:]) if x[0] == "conv" and x[4] else x for x in layers]


def conv_shapes(layers: list[Layer]) -> list[tuple[int, int, int, bool]]:
    """(inputs, filters, size, normalized) of each convolution in order."""
    channels: list[int] = []
    shapes = []
    for index, layer in enumerate(layers):
        before = channels[-1] if channels else 3
        if layer[0] == "conv":
            shapes.append((before, layer[1], layer[2], layer[4]))
            before = layer[1]
        elif layer[0] == "route":
            before = sum(channels[_absolute(index, source)] for source in layer[1:])
        channels.append(before)
    return shapes


def tensor_shapes(layers: list[Layer]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Kind and shape of every tensor in the order of a .weights file."""
    for inputs, filters, size, normalized in conv_shapes(layers):
        for kind in ("beta", "gamma", "mean", "variance") if normalized else ("bias",):
            yield kind, (filters,)
        yield "kernel", (filters, inputs, size, size)


def random_values(layers: list[Layer], seed: int) -> np.ndarray:
    """Random values for every tensor, in order; they keep the scale of the features."""
    rng = np.random.default_rng(seed)
    parts = []
    for kind, shape in tensor_shapes(layers):
        part = rng.standard_normal(int(np.prod(shape)))
        if kind == "kernel":
            part /= np.sqrt(np.prod(shape[1:]) / 2)
        parts.append(rng.uniform(0.5, 1.5, len(part)) if kind in ("variance", "gamma") else part)
    return np.concatenate(parts).astype("<f4")


def run(layers: list[Layer], values: np.ndarray, pictures: Tensor) -> list[Tensor]:
    """The inputs of the yolo layers, in the order of the file."""
    rest = iter([torch.from_numpy(part) for part in np.split(values, _ends(layers))])
    outputs: list[Tensor] = []
    heads = []
    x = pictures
    for index, layer in enumerate(layers):
        if layer[0] == "conv":
            x = _convolve(x, layer, rest)
        elif layer[0] == "pool":
            x = max_pool2d(pad(x, (0, 1, 0, 1), value=-1e9) if layer[2] == 1 else x, layer[1], layer[2])
        elif layer[0] == "shortcut":
            x = x + outputs[index + layer[1]]
        elif layer[0] == "route":
            x = torch.cat([outputs[_absolute(index, source)] for source in layer[1:]], dim=1)
        elif layer[0] == "upsample":
            x = interpolate(x, scale_factor=2)
        else:
            heads.append(x)
        outputs.append(x)
    return heads


def _convolve(x: Tensor, layer: Layer, rest: Iterator[Tensor]) -> Tensor:
    _, filters, size, stride, normalized = layer
    first = [next(rest) for _ in range(4 if normalized else 1)]
    x = conv2d(x, next(rest).view(filters, -1, size, size), None if normalized else first[0], stride, size // 2)
    if not normalized:
        return x
    beta, gamma, mean, variance = first
    return leaky_relu(batch_norm(x, mean, variance, gamma, beta), 0.1)


def _ends(layers: list[Layer]) -> np.ndarray:
    return np.cumsum([int(np.prod(shape)) for _, shape in tensor_shapes(layers)])[:-1]


def _absolute(index: int, source: int) -> int:
    return index + source if source < 0 else source
