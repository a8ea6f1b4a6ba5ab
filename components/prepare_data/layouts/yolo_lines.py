"""The lines of a label file in YOLO layout."""

from pathlib import Path

from components.prepare_data.layouts.checks import bounding_box
from components.prepare_data.layouts.dataset import shorten, tolerance
from components.prepare_data.layouts.files import read_text
from components.shared.boxes import Box
from kd.errors import InputError


def read_boxes(file: Path, classes: int, width: int, height: int, keypoint_values: int = 0) -> list[Box]:
    """Read the lines `class cx cy w h`, or `class x y x y x y ...` with the corners of a polygon, which becomes its box.

    All numbers but the class are fractions of the picture's `width` and `height`, which are in pixels. `keypoint_values` is how many
    numbers after a box are its key points; 0 if they are the corners of a polygon instead.

    Raises:
        InputError: with the line that has another form, an unknown class, or a number outside 0 to 1 by more than rounding.
    """
    slack = tolerance(width, height)
    boxes = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if not line.strip():
            continue
        label, *values = _parse_numbers(file, number, line, keypoint_values)
        if label not in range(classes):
            raise InputError(file, f"line {number} has the class {label:g}", f"use the classes 0 to {classes - 1}")
        x, y = [value * width for value in values[::2]], [value * height for value in values[1::2]]
        if not all(-slack <= value <= side + slack for side, part in ((width, x), (height, y)) for value in part):
            raise InputError(file, f"line {number} has a number outside 0 to 1", "write fractions of the picture's width and height")
        left, top, w, h = (x[0] - x[1] / 2, y[0] - y[1] / 2, x[1], y[1]) if len(values) == 4 else bounding_box(x, y)
        boxes.append(Box(int(label), left, top, w, h, name=f"line {number}"))
    return boxes


def _parse_numbers(file: Path, number: int, line: str, keypoint_values: int) -> list[float]:
    try:
        numbers = [float(text) for text in line.split()]
    except ValueError:
        numbers = []
    if keypoint_values and len(numbers) == 5 + keypoint_values:
        numbers = numbers[:5]
    if len(numbers) != 5 and (keypoint_values or len(numbers) < 7 or len(numbers) % 2 == 0):
        more = f", or five and {keypoint_values} for the key points" if keypoint_values else ""
        remedy = "write `class cx cy w h`, or `class x y x y x y ...` for a polygon"
        raise InputError(file, f"line {number} is {shorten(line.strip())}, not five numbers{more}", remedy)
    return numbers
