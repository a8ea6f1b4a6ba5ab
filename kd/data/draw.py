"""Draw boxes that are visible on any background."""

import colorsys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from kd.detection.decode import Detections

Corners = Sequence[float]
Color = tuple[int, int, int]
GOLDEN_RATIO = 0.618034
TONES = ((1.0, 1.0), (0.55, 1.0), (1.0, 0.65))
"""Saturation and brightness of consecutive classes; with golden-ratio steps of the hue, many classes stay distinguishable."""


def draw(image: Image.Image, detections: "Detections", classes: Sequence[str]) -> Image.Image:
    """A copy of `image` with each detection's box, class name and score, the best on top."""
    rows = list(zip(detections.boxes.tolist(), detections.labels.tolist(), detections.scores.tolist(), strict=True))
    return draw_boxes(image, ((box, label, f"{classes[label]} {score:.2f}") for box, label, score in reversed(rows)))


def draw_boxes(image: Image.Image, boxes: Iterable[tuple[Corners, int, str]]) -> Image.Image:
    """A copy of `image`, in RGB, with boxes (corners x0, y0, x1, y1; label; caption), the last on top.

    Line width and font size grow with the picture.
    """
    canvas = image.convert("RGB") if image.mode != "RGB" else image.copy()
    pen = ImageDraw.Draw(canvas)
    width = max(2, round(max(canvas.size) / 300))
    pen.font = ImageFont.load_default(max(11, 5 * width))
    for corners, label, caption in boxes:
        _draw_box(pen, corners, class_color(label), width)
        _draw_caption(pen, corners, class_color(label), caption, canvas.width)
    return canvas


def class_color(label: int) -> Color:
    """The color of a class, the same in every picture and different from that of the classes next to it."""
    saturation, brightness = TONES[label % len(TONES)]
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN_RATIO % 1, saturation, brightness)
    return round(255 * red), round(255 * green), round(255 * blue)


def _draw_box(pen: ImageDraw.ImageDraw, corners: Corners, color: Color, width: int) -> None:
    x0, y0, x1, y1 = (round(edge) for edge in corners)
    # the outline keeps the box visible on a background of the same color
    pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=_contrasting(color), width=width + 2)
    pen.rectangle((x0, y0, x1, y1), outline=color, width=width)


def _draw_caption(pen: ImageDraw.ImageDraw, corners: Corners, color: Color, caption: str, picture_width: int) -> None:
    """Above the box if there is room, otherwise inside its upper edge; never beyond the right edge of the picture."""
    left, top, right, bottom = pen.textbbox((0, 0), caption)
    pad = 2
    width, height = round(right - left) + 2 * pad, round(bottom - top) + 2 * pad
    x = max(0, min(round(corners[0]), picture_width - width))
    y = round(corners[1]) - height
    y = y if y >= 0 else max(0, round(corners[1]))
    pen.rectangle((x, y, x + width, y + height), fill=color)
    pen.text((x + pad - left, y + pad - top), caption, fill=_contrasting(color))


def _contrasting(color: Color) -> Color:
    """Black for light colors, white for dark ones."""
    red, green, blue = color
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else (255, 255, 255)
