"""Labeled pictures: a file, its size, and its boxes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Box:
    """Left, top, width and height of a box in pixels, its class index, and its `name` in messages, such as "annotation 3"."""

    label: int
    x: float
    y: float
    w: float
    h: float
    crowd: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class LabeledPicture:
    """A picture file, its width and height in pixels with the EXIF orientation applied, its boxes, and the file with its labels."""

    path: Path
    width: int
    height: int
    boxes: list[Box]
    label_file: Path
