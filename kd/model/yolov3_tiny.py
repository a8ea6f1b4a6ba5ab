"""yolov3-tiny (Redmon, 2018): seven convolutions and six poolings, heads at strides 16 and 32.

The modules are in the order of the published cfg file, which is the order of the values in Darknet's .weights files.
"""

from collections.abc import Collection
from itertools import pairwise

import torch
from torch import Tensor, nn

from kd.model.blocks import ConvBlock, Head, scale_channels, upsample
from kd.model.spec import ModelSpec, Output


class SamePool(nn.MaxPool2d):
    """2x2 maximum at stride 1 that keeps the sides, as Darknet pads: on the right and below."""

    def __init__(self) -> None:
        super().__init__(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape."""
        out: Tensor = super().forward(nn.functional.pad(x, (0, 1, 0, 1), value=float("-inf")))
        return out


class TinyBackbone(nn.Module):
    """Convolutions and poolings down to stride 32."""

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = [3, *(scale_channels(c, width) for c in (16, 32, 64, 128, 256, 512, 1024))]
        convs = [ConvBlock(before, after, 3) for before, after in pairwise(channels)]
        self.to_16 = nn.Sequential(*(layer for conv in convs[:4] for layer in (conv, nn.MaxPool2d(2))), convs[4])
        self.to_32 = nn.Sequential(nn.MaxPool2d(2), convs[5], SamePool(), convs[6])
        self.channels = {16: channels[5], 32: channels[7]}

    def forward(self, pictures: Tensor) -> dict[int, Tensor]:
        """[B, 3, S, S] to features at strides 16 and 32."""
        fine = self.to_16(pictures)
        return {16: fine, 32: self.to_32(fine)}


class YOLOv3Tiny(nn.Module):
    """The student; at width 1 the published network."""

    strides = (16, 32)

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        classes = len(spec.classes)
        narrow, middle, wide, finer = (scale_channels(c, spec.width) for c in (128, 256, 512, 256))
        self.backbone = TinyBackbone(spec.width)
        self.squeeze = ConvBlock(self.backbone.channels[32], middle, 1)
        self.neck_32 = ConvBlock(middle, wide, 3)
        self.head_32 = Head(wide, classes)
        self.reduce = ConvBlock(middle, narrow, 1)
        self.neck_16 = ConvBlock(narrow + self.backbone.channels[16], finer, 3)
        self.head_16 = Head(finer, classes)

    def forward(self, pictures: Tensor, strides: Collection[int] = strides) -> Output:
        """Predict on [B, 3, S, S] in 0..1; levels finer than the finest of `strides` are not computed."""
        backbone = self.backbone(pictures)
        heads, neck = {}, {}
        squeezed = self.squeeze(backbone[32])
        finest = min(strides, default=64)
        if finest <= 32:
            neck[32] = self.neck_32(squeezed)
        if finest <= 16:
            neck[16] = self.neck_16(torch.cat([upsample(self.reduce(squeezed)), backbone[16]], dim=1))
            heads[16] = self.head_16(neck[16])
        if finest <= 32:
            heads[32] = self.head_32(neck[32])
        return Output(heads, backbone, neck)
