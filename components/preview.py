"""A contact sheet: a few pictures with their boxes and class names."""

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from components.layouts.source import Picture

PALETTE = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#bfef45", "#fabed4")


def contact_sheet(pictures: Sequence[Picture], classes: Sequence[str], path: Path, count: int = 12, cell: int = 320) -> None:
    """Draw `count` of `pictures`, taken at even steps, in cells of `cell` pixels, and save them as a JPEG at `path`."""
    shown = [pictures[index * len(pictures) // count] for index in range(count)] if len(pictures) > count else pictures
    columns = min(len(shown), 4)
    sheet = Image.new("RGB", (columns * cell, math.ceil(len(shown) / columns) * cell), "white")
    for index, picture in enumerate(shown):
        sheet.paste(_drawn(picture, classes, cell - 4), (index % columns * cell + 2, index // columns * cell + 2))
    sheet.save(path, "JPEG", quality=90)


def _drawn(picture: Picture, classes: Sequence[str], side: int) -> Image.Image:
    with Image.open(picture.path) as image:
        canvas = ImageOps.contain(ImageOps.exif_transpose(image).convert("RGB"), (side, side))
    scale = canvas.width / picture.width
    draw = ImageDraw.Draw(canvas)
    for box in picture.boxes:
        colour = PALETTE[box.label % len(PALETTE)]
        corners = [round(edge * scale) for edge in (box.x, box.y, box.x + box.w, box.y + box.h)]
        draw.rectangle(corners, outline=colour, width=2)
        draw.text((corners[0] + 3, corners[1] + 1), classes[box.label], fill=colour, stroke_width=2, stroke_fill="black")
    return canvas
