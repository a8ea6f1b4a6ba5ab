"""Labeled pictures: a file, its size, and its boxes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Box:
    """A labeled box: left, top, width and height in pixels; `name` is what its label file calls it."""

    label: int
    x: float
    y: float
    w: float
    h: float
    crowd: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class LabeledPicture:
    """A picture file, its width and height in pixels with the EXIF orientation applied, its boxes, and the file that labels it."""

    path: Path
    width: int
    height: int
    boxes: list[Box]
    labels: Path
