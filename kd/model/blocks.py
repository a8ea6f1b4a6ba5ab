"""The building blocks of Darknet."""

import math

import torch
from torch import Tensor, nn


def scale_channels(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8 (at least 8)."""
    return max(8, 8 * round(channels * width / 8))


class ConvBlock(nn.Module):
    """Convolution without bias, batch normalization, leaky ReLU of slope 0.1."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        return nn.functional.leaky_relu(self.norm(self.convolution(x)), 0.1, inplace=True)


class Head(nn.Conv2d):
    """The 1x1 convolution that predicts, for each of three anchors, 4 box numbers, objectness and `classes` class scores."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__(inputs, 3 * (5 + classes), 1)
        self._init_bias(classes)

    @torch.no_grad()
    def _init_bias(self, classes: int, prior: float = 0.01) -> None:
        """Initialize objectness to the probability `prior`, so that the loss of the background does not dominate the first steps.

        Lin et al., "Focal Loss for Dense Object Detection", 2017, section 4.1.
        """
        assert self.bias is not None
        bias = self.bias.view(3, 5 + classes)
        bias.zero_()
        bias[:, 4] = -math.log((1 - prior) / prior)
        bias[:, 5:] = -math.log(max(classes - 1, 1))


def upsample(feature: Tensor) -> Tensor:
    """Double the sides of [B, C, H, W] by repetition."""
    return nn.functional.interpolate(feature, scale_factor=2.0, mode="nearest")
