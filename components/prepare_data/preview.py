"""A contact sheet: a few pictures with their boxes and class names."""

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from components.shared.boxes import LabeledPicture
from kd.data.draw import draw_boxes
from kd.data.pictures import read_picture


def contact_sheet(pictures: Sequence[LabeledPicture], classes: Sequence[str], path: Path, count: int = 12, cell: int = 320) -> None:
    """Draw `count` of `pictures`, taken at even steps, in cells of `cell` pixels, and save them as a JPEG at `path`."""
    shown = [pictures[index * len(pictures) // count] for index in range(count)] if len(pictures) > count else pictures
    columns = min(len(shown), 4)
    sheet = Image.new("RGB", (columns * cell, math.ceil(len(shown) / columns) * cell), "white")
    for index, picture in enumerate(shown):
        sheet.paste(_drawn(picture, classes, cell - 4), (index % columns * cell + 2, index // columns * cell + 2))
    sheet.save(path, "JPEG", quality=90)


def _drawn(picture: LabeledPicture, classes: Sequence[str], side: int) -> Image.Image:
    small = ImageOps.contain(read_picture(picture.path, at_least=side), (side, side))
    scale = small.width / picture.width
    corners = ([scale * edge for edge in (box.x, box.y, box.x + box.w, box.y + box.h)] for box in picture.boxes)
    return draw_boxes(small, ((edges, box.label, classes[box.label]) for edges, box in zip(corners, picture.boxes, strict=True)))
