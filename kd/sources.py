"""Where a detector comes from: a file, or an address that an installed package knows how to open.

A package says so with an entry point of the group `kd.sources` that is named like the scheme, here `models`: a function from the
address, such as `models:/street@champion`, to a `PictureDetector`.
"""

import re
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Protocol

from kd.detection.decode import Detections
from kd.detector import Detector, Picture
from kd.errors import InputError

GROUP = "kd.sources"


class PictureDetector(Protocol):
    """What finds objects as `kd.detector.Detector` does; it takes `batch` pictures at once."""

    @property
    def batch(self) -> int: ...  # noqa: D102

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        ...

    def __call__(self, pictures: Sequence[Picture], confidence: float, nms_iou: float, max_detections: int) -> list[Detections]:
        """One `Detections` a picture, its boxes in that picture's pixels; see `kd.detector.Detector.__call__`."""
        ...


def open_detector(source: str, device: str | None = None) -> PictureDetector:
    """The detector in a model.safetensors, or at an address `scheme:/...`.

    Raises:
        InputError: if there is none, or nothing that is installed opens such addresses.
    """
    scheme = re.match(r"([a-z][a-z0-9+.-]+):/", source)
    if not scheme:
        return Detector.load(source, device)
    if device:
        raise InputError("--device", f"does not apply to {source}", "leave it out, or give a model.safetensors")
    known = {point.name: point for point in entry_points(group=GROUP)}
    if scheme[1] not in known:
        addresses = ", ".join(f"{name}:/..." for name in sorted(known)) or "no addresses at all"
        raise InputError(source, f"'{scheme[1]}:' is not known here, but {addresses}", "give a model.safetensors, or install kdflow again")
    detector: PictureDetector = known[scheme[1]].load()(source)
    return detector
