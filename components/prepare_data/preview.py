"""Grids of pictures with their boxes and class names."""

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from components.shared.boxes import LabeledPicture
from kd.data.draw import draw_boxes
from kd.data.pictures import read_picture

COLUMNS, CELL, TITLE = 4, 320, 24
"""Pictures in a row, and the height of a picture and of a title in pixels."""


def save_preview(pictures: Sequence[LabeledPicture], classes: Sequence[str], path: Path, count: int = 12) -> None:
    """Save a JPEG of at most `count` evenly spaced `pictures`."""
    shown = [pictures[index * len(pictures) // count] for index in range(count)] if len(pictures) > count else pictures
    _grid(shown, classes).save(path, "JPEG", quality=90)


def save_rows(rows: Sequence[tuple[str, Sequence[LabeledPicture]]], classes: Sequence[str], path: Path, image_format: str) -> None:
    """Save a picture in `image_format` ("JPEG" or "PNG") with a grid of pictures below each title."""
    grids = [_grid(pictures, classes) for _, pictures in rows]
    sheet = Image.new("RGB", (COLUMNS * CELL, sum(grid.height + TITLE for grid in grids)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TITLE - 10)
    top = 0
    for (title, _), grid in zip(rows, grids, strict=True):
        pen.text((4, top + 4), title, fill="black", font=font)
        sheet.paste(grid, (0, top + TITLE))
        top += TITLE + grid.height
    sheet.save(path, image_format, quality=90)


def _grid(pictures: Sequence[LabeledPicture], classes: Sequence[str]) -> Image.Image:
    columns = min(len(pictures), COLUMNS)
    grid = Image.new("RGB", (columns * CELL, math.ceil(len(pictures) / columns) * CELL), "white")
    for index, picture in enumerate(pictures):
        grid.paste(_thumbnail(picture, classes, CELL - 4), (index % columns * CELL + 2, index // columns * CELL + 2))
    return grid


def _thumbnail(picture: LabeledPicture, classes: Sequence[str], side: int) -> Image.Image:
    small = ImageOps.contain(read_picture(picture.path, at_least=side), (side, side))
    scale = small.width / picture.width
    corners = ([scale * edge for edge in (box.x, box.y, box.x + box.w, box.y + box.h)] for box in picture.boxes)
    return draw_boxes(small, ((edges, box.label, classes[box.label]) for edges, box in zip(corners, picture.boxes, strict=True)))
