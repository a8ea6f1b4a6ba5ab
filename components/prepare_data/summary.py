"""What a user wants to know of prepared data: counts and sizes."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from components.shared.boxes import LabeledPicture


def summarize(classes: Sequence[str], pictures: Sequence[LabeledPicture]) -> dict[str, Any]:
    """Counts and sizes of a split.

    Returns:
        pictures, boxes (without crowds), boxes per class, pictures without boxes, and [least, median, most] of the
        pictures' width and height and of the boxes' side (root of the area), in pixels; [] where there is none.
    """
    boxes = [box for picture in pictures for box in picture.boxes if not box.crowd]
    counts = Counter(box.label for box in boxes)
    return {
        "pictures": len(pictures),
        "boxes": len(boxes),
        "per_class": {name: counts[label] for label, name in enumerate(classes)},
        "empty_pictures": sum(all(box.crowd for box in picture.boxes) for picture in pictures),
        "width": _range([picture.width for picture in pictures]),
        "height": _range([picture.height for picture in pictures]),
        "box_side": _range([math.sqrt(box.w * box.h) for box in boxes]),
    }


def _range(values: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in (min(values), statistics.median(values), max(values))] if values else []
