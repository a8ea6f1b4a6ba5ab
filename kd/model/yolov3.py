"""YOLOv3 (Redmon and Farhadi, 2018): Darknet-53, a three-scale neck, heads at strides 8, 16 and 32.

The modules are in the order of the published cfg file, which is the order of the values in Darknet's .weights files.
"""

from collections.abc import Collection

import torch
from torch import Tensor, nn

from kd.model.blocks import ConvBlock, Head, scale_channels, upsample
from kd.model.spec import ModelSpec, Output


class Residual(nn.Module):
    """1x1 to half the channels, 3x3 back, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = ConvBlock(channels, channels // 2, 1)
        self.expand = ConvBlock(channels // 2, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape."""
        out: Tensor = x + self.expand(self.squeeze(x))
        return out


class Darknet53(nn.Module):
    """The backbone: a stem and five stages, each halving the sides."""

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        channels = [scale_channels(c, width) for c in (32, 64, 128, 256, 512, 1024)]
        blocks = [max(1, round(n * depth)) for n in (1, 2, 8, 8, 4)]
        self.stem = ConvBlock(3, channels[0], 3)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvBlock(before, after, 3, stride=2), *(Residual(after) for _ in range(n)))
            for before, after, n in zip(channels, channels[1:], blocks, strict=False)
        )
        self.channels = {8: channels[3], 16: channels[4], 32: channels[5]}

    def forward(self, pictures: Tensor) -> dict[int, Tensor]:
        """[B, 3, S, S] to features at strides 8, 16 and 32."""
        x = self.stem(pictures)
        features = {}
        for level, stage in enumerate(self.stages, start=1):
            x = stage(x)
            features[2**level] = x
        return {stride: features[stride] for stride in self.channels}


class Level(nn.Module):
    """The neck at one stride: five convolutions, whose output is also an input of the finer level, and one more before the head."""

    def __init__(self, lateral: int, coarser: int, channels: int, classes: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvBlock(coarser, half, 1) if coarser else None
        self.five = nn.Sequential(
            ConvBlock(lateral + (half if coarser else 0), half, 1),
            ConvBlock(half, channels, 3),
            ConvBlock(channels, half, 1),
            ConvBlock(half, channels, 3),
            ConvBlock(channels, half, 1),
        )
        self.last = ConvBlock(half, channels, 3)
        self.head = Head(channels, classes)

    def forward(self, lateral: Tensor, coarser: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """From the backbone's feature and the coarser level's output to this level's output, the head's input and the head's output."""
        if self.reduce is not None and coarser is not None:
            lateral = torch.cat([upsample(self.reduce(coarser)), lateral], dim=1)
        output = self.five(lateral)
        feature = self.last(output)
        return output, feature, self.head(feature)


class YOLOv3(nn.Module):
    """The teacher; at width 1 and depth 1 the published network."""

    strides = (8, 16, 32)

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.backbone = Darknet53(spec.width, spec.depth)
        self.levels = nn.ModuleDict()
        coarser = 0
        for stride, published in ((32, 1024), (16, 512), (8, 256)):
            channels = scale_channels(published, spec.width)
            self.levels[str(stride)] = Level(self.backbone.channels[stride], coarser, channels, len(spec.classes))
            coarser = channels // 2

    def forward(self, pictures: Tensor, strides: Collection[int] = strides) -> Output:
        """Predict on [B, 3, S, S] in 0..1; levels finer than the finest of `strides` are not computed."""
        backbone = self.backbone(pictures)
        heads, neck = {}, {}
        coarser = None
        for stride in (32, 16, 8):
            if stride >= min(strides, default=64):
                coarser, neck[stride], heads[stride] = self.levels[str(stride)](backbone[stride], coarser)
        return Output(heads, backbone, neck)
