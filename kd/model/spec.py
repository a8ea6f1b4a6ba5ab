"""What rebuilds a network, what its forward pass returns, and the names of its features."""

import json
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal, NamedTuple, get_args, get_type_hints

from torch import Tensor

from kd.data.anchors import COCO_ANCHORS, Anchors
from kd.model.limits import COARSEST_STRIDE, MAX_CLASSES, MAX_IMAGE_SIZE, MAX_SCALE

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
    def from_fields(fields: object) -> "ModelSpec":
        """The spec with the `fields` of the JSON object that `to_json` wrote.

        Raises:
            ValueError: if they are not the fields of a spec, or one has the wrong type or is beyond its limit.
        """
        names = get_type_hints(ModelSpec).keys()
        if not isinstance(fields, dict) or fields.keys() != names:
            raise ValueError(f"it needs the fields {', '.join(names)}")
        if fields["architecture"] not in get_args(Architecture):
            raise ValueError(f"unknown architecture {reprlib.repr(fields['architecture'])}")
        for name, is_valid in _VALID.items():
            if not is_valid(fields[name]):
                raise ValueError(f"the field {name} is {reprlib.repr(fields[name])}")
        if fields["anchors"].keys() != set(map(str, COCO_ANCHORS[fields["architecture"]])):
            raise ValueError(f"the anchors have the strides {reprlib.repr(list(fields['anchors']))}")
        anchors = {int(stride): [(w, h) for w, h in shapes] for stride, shapes in fields["anchors"].items()}
        return ModelSpec(**fields | {"classes": tuple(fields["classes"]), "anchors": anchors})


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


def _is_number(value: object, maximum: float) -> bool:
    """Whether `value` is a number above 0 and at most `maximum`."""
    return type(value) in (int, float) and 0 < value <= maximum  # type: ignore[operator]


def _is_image_size(value: object) -> bool:
    return isinstance(value, int) and _is_number(value, MAX_IMAGE_SIZE) and value % COARSEST_STRIDE == 0


def _is_class_list(value: object) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CLASSES:
        return False
    return all(isinstance(name, str) and name for name in value) and len(set(value)) == len(value)


def _is_anchors(value: object) -> bool:
    """Whether `value` has three shapes for each of at most three strides."""
    if not isinstance(value, dict) or len(value) > 3:
        return False
    return all(isinstance(shapes, list) and list(map(_is_shape, shapes)) == [True] * 3 for shapes in value.values())


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_number(side, MAX_IMAGE_SIZE) for side in value)


_VALID: Mapping[str, Callable[[object], bool]] = {
    "width": partial(_is_number, maximum=MAX_SCALE),
    "depth": partial(_is_number, maximum=MAX_SCALE),
    "classes": _is_class_list,
    "image_size": _is_image_size,
    "anchors": _is_anchors,
}
