"""What rebuilds a network, what its forward pass returns, and the names of its features."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, get_args

from torch import Tensor

from kd.data.anchors import Anchors

Architecture = Literal["yolov3", "yolov3-tiny"]


@dataclass(frozen=True)
class ModelSpec:
    """A network without its weights.

    Attributes:
        architecture: "yolov3" (heads at strides 8, 16, 32) or "yolov3-tiny" (16, 32).
        width: multiplier of the channels; 1 is the published network.
        depth: multiplier of Darknet-53's residual blocks; 1 is the published network.
        classes: class names in the order of the class scores.
        anchors: per stride three (width, height) in pixels of the square input.
        image_size: side of the square input in pixels, a multiple of 32.
    """

    architecture: Architecture
    width: float
    depth: float
    classes: tuple[str, ...]
    anchors: Anchors
    image_size: int

    def to_json(self) -> str:
        """The spec as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> "ModelSpec":
        """The spec that `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: if the text is anything else.
        """
        fields = json.loads(text)
        if fields["architecture"] not in get_args(Architecture):
            raise ValueError(f"unknown architecture: {fields['architecture']}")
        fields["classes"] = tuple(fields["classes"])
        fields["anchors"] = {int(stride): [(w, h) for w, h in boxes] for stride, boxes in fields["anchors"].items()}
        return ModelSpec(**fields)


class Tap(NamedTuple):
    """A feature map that can be distilled: its part of the network, "backbone" or "neck", and its stride in pixels."""

    part: str
    stride: int

    def __str__(self) -> str:
        """Such as "neck_16", which names its files, history columns and adapter."""
        return f"{self.part}_{self.stride}"


def taps_at(strides: Iterable[int]) -> list[Tap]:
    """The taps of backbone and neck at `strides`."""
    return [Tap(part, stride) for part in ("backbone", "neck") for stride in strides]


class Output(NamedTuple):
    """What a network's forward pass returns, each by stride.

    Attributes:
        heads: raw predictions [B, 3 * (5 + classes), S / stride, S / stride].
        backbone: features [B, C, S / stride, S / stride] that the backbone passes to the neck.
        neck: features that the head's 1x1 convolution reads.
    """

    heads: dict[int, Tensor]
    backbone: dict[int, Tensor]
    neck: dict[int, Tensor]

    def taps(self) -> dict[Tap, Tensor]:
        """The features of backbone and neck by tap."""
        features = {Tap("backbone", stride): feature for stride, feature in self.backbone.items()}
        return features | {Tap("neck", stride): feature for stride, feature in self.neck.items()}
