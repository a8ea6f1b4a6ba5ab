"""Statistics of a split for `summary.json`."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from components.shared.boxes import LabeledPicture


def summarize_split(classes: Sequence[str], pictures: Sequence[LabeledPicture]) -> dict[str, Any]:
    """Counts and sizes of a split.

    Returns:
        pictures, boxes (without crowds), boxes per class, pictures without boxes, and [minimum, median, maximum] of the pictures'
        width and height and of the boxes' side (square root of the area) in pixels; [] without pictures or boxes.
    """
    boxes = [box for picture in pictures for box in picture.boxes if not box.crowd]
    counts = Counter(box.label for box in boxes)
    return {
        "pictures": len(pictures),
        "boxes": len(boxes),
        "per_class": {name: counts[label] for label, name in enumerate(classes)},
        "empty_pictures": sum(all(box.crowd for box in picture.boxes) for picture in pictures),
        "width": _min_median_max([picture.width for picture in pictures]),
        "height": _min_median_max([picture.height for picture in pictures]),
        "box_side": _min_median_max([math.sqrt(box.w * box.h) for box in boxes]),
    }


def _min_median_max(values: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in (min(values), statistics.median(values), max(values))] if values else []
