"""Open a detector from a file, or from an address such as `models:/street@champion`.

A package adds a scheme with an entry point of the group `kd.sources` that has the scheme's name, such as `models`: a function
from the address to a `PictureDetector`.
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
    """Anything that detects objects as `kd.detector.Detector` does; it processes `batch` pictures at once."""

    @property
    def batch(self) -> int: ...  # noqa: D102

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        ...

    def __call__(self, pictures: Sequence[Picture], confidence: float, nms_iou: float, max_detections: int) -> list[Detections]:
        """The `Detections` of each picture, with boxes in that picture's pixels; see `kd.detector.Detector.__call__`."""
        ...


def open_detector(source: str, device: str | None = None) -> PictureDetector:
    """Open the detector in a model.safetensors, or at an address `scheme:/...`.

    Raises:
        InputError: if it cannot be opened, or the scheme is unknown.
    """
    scheme = re.match(r"([a-z][a-z0-9+.-]+):/", source)
    if not scheme:
        return Detector.load(source, device)
    if device:
        raise InputError("--device", f"does not apply to {source}", "leave it out, or give a model.safetensors")
    known = {point.name: point for point in entry_points(group=GROUP)}
    if scheme[1] not in known:
        schemes = ", ".join(f"{name}:/..." for name in sorted(known)) or "none"
        problem = f"'{scheme[1]}:' is an unknown scheme (known: {schemes})"
        raise InputError(source, problem, "give a model.safetensors, or install kdflow again")
    detector: PictureDetector = known[scheme[1]].load()(source)
    return detector
