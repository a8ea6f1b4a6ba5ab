"""A grid of pictures with their boxes and class names."""

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from components.shared.boxes import LabeledPicture
from kd.data.draw import draw_boxes
from kd.data.pictures import read_picture


def save_preview(pictures: Sequence[LabeledPicture], classes: Sequence[str], path: Path, count: int = 12, cell: int = 320) -> None:
    """Save a JPEG of at most `count` evenly spaced `pictures`, in cells of `cell` pixels."""
    shown = [pictures[index * len(pictures) // count] for index in range(count)] if len(pictures) > count else pictures
    columns = min(len(shown), 4)
    grid = Image.new("RGB", (columns * cell, math.ceil(len(shown) / columns) * cell), "white")
    for index, picture in enumerate(shown):
        grid.paste(_thumbnail(picture, classes, cell - 4), (index % columns * cell + 2, index // columns * cell + 2))
    grid.save(path, "JPEG", quality=90)


def _thumbnail(picture: LabeledPicture, classes: Sequence[str], side: int) -> Image.Image:
    small = ImageOps.contain(read_picture(picture.path, at_least=side), (side, side))
    scale = small.width / picture.width
    corners = ([scale * edge for edge in (box.x, box.y, box.x + box.w, box.y + box.h)] for box in picture.boxes)
    return draw_boxes(small, ((edges, box.label, classes[box.label]) for edges, box in zip(corners, picture.boxes, strict=True)))
