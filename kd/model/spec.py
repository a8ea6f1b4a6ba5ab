"""What rebuilds a network: the facts that travel with its weights."""

import json
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, get_args

from torch import Tensor

Architecture = Literal["yolov3", "yolov3-tiny"]
Anchors = dict[int, list[tuple[float, float]]]


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
            ValueError, KeyError, TypeError: if it did not.
        """
        fields = json.loads(text)
        if fields["architecture"] not in get_args(Architecture):
            raise ValueError(f"no such architecture: {fields['architecture']}")
        fields["classes"] = tuple(fields["classes"])
        fields["anchors"] = {int(stride): [(w, h) for w, h in boxes] for stride, boxes in fields["anchors"].items()}
        return ModelSpec(**fields)


class Output(NamedTuple):
    """What a network's forward returns, each by stride.

    Attributes:
        heads: raw predictions [B, 3 * (5 + classes), S / stride, S / stride].
        backbone: features [B, C, S / stride, S / stride] that the backbone hands to the neck.
        neck: features that the head's 1x1 convolution reads.
    """

    heads: dict[int, Tensor]
    backbone: dict[int, Tensor]
    neck: dict[int, Tensor]

    def taps(self) -> dict[str, Tensor]:
        """The features by name: "backbone_16", "neck_32", ..."""
        named = {f"backbone_{stride}": feature for stride, feature in self.backbone.items()}
        return named | {f"neck_{stride}": feature for stride, feature in self.neck.items()}
