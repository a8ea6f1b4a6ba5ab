"""Clip labeled boxes to their pictures, and drop duplicates and boxes without area inside."""

from bisect import bisect_left, bisect_right, insort
from dataclasses import replace

from components.prepare_data.findings import Finding, find
from components.prepare_data.layouts.dataset import TOLERANCE_PIXELS, RawDataset, tolerance
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError

# duplicates have the same class and corners at most this many pixels apart; exports that were merged contain them
DUPLICATE_PIXELS = 0.5


def clip_boxes(dataset: RawDataset) -> list[str]:
    """Clip the boxes of `dataset` in place, rounded to 1/100 pixel, and drop those without area inside their picture.

    Returns:
        One warning for each box that was dropped, and one with the number of clipped boxes.

    Raises:
        InputError: if boxes extend beyond their picture by more than the tolerance; names the first and counts the others.
    """
    warnings: list[str] = []
    errors: list[tuple[LabeledPicture, str]] = []
    slight = 0
    for picture in (picture for pictures in dataset.splits.values() for picture in pictures if picture.width):
        kept = []
        for box in picture.boxes:
            clipped = _clip(box, picture)
            outside = _pixels_outside(box, picture)
            name = f"{box.name}: bbox [{box.x:g}, {box.y:g}, {box.w:g}, {box.h:g}]"
            if problem := _no_area(box, clipped, picture):
                warnings.append(f"{picture.path.name}, {name} {problem}; dropped, correct or remove it")
            elif outside > tolerance(picture.width, picture.height):
                errors.append((picture, f"{name} extends {outside:g} pixels beyond the {picture.width}x{picture.height} picture"))
            else:
                kept.append(clipped)
                slight += outside > 0
        picture.boxes[:] = kept
    if errors:
        _raise(errors)
    if slight:
        warnings.append(f"boxes clipped, because they extend at most {TOLERANCE_PIXELS:g} pixels or 1 % beyond their picture: {slight}")
    return warnings


def drop_duplicates(dataset: RawDataset) -> list[Finding]:
    """Drop boxes of `dataset` in place that another box of their class covers, with corners at most `DUPLICATE_PIXELS` away."""
    names: list[str] = []
    for picture in (picture for pictures in dataset.splits.values() for picture in pictures):
        duplicates = _duplicates(picture.boxes)
        names += [f"{picture.path.name}, {picture.boxes[index].name}" for index in sorted(duplicates)]
        picture.boxes[:] = [box for index, box in enumerate(picture.boxes) if index not in duplicates]
    return find("duplicate boxes", names, "boxes have the class and the corners of another box; dropped", "remove them from the labels")


def _duplicates(boxes: list[Box]) -> set[int]:
    """Indices of the boxes that repeat an earlier one that is kept."""
    kept: list[tuple[int, float, int]] = []  # sorted by label and left side, so that few boxes are compared in a crowded picture
    duplicates: set[int] = set()
    for index, box in enumerate(boxes):
        first = bisect_left(kept, (box.label, box.x - DUPLICATE_PIXELS, 0))
        last = bisect_right(kept, (box.label, box.x + DUPLICATE_PIXELS, len(boxes)))
        if any(_are_equal(boxes[other], box) for _, _, other in kept[first:last]):
            duplicates.add(index)
        else:
            insort(kept, (box.label, box.x, index))
    return duplicates


def _are_equal(first: Box, second: Box) -> bool:
    corners = ((box.x, box.y, box.x + box.w, box.y + box.h) for box in (first, second))
    return first.crowd == second.crowd and all(abs(a - b) <= DUPLICATE_PIXELS for a, b in zip(*corners, strict=True))


def _raise(errors: list[tuple[LabeledPicture, str]]) -> None:
    picture, problem = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    raise InputError(picture.label_file, f"{picture.path.name}, {problem}{more}", "correct the boxes, or the picture's size in the labels")


def _clip(box: Box, picture: LabeledPicture) -> Box:
    left, right = (round(min(max(x, 0.0), picture.width), 2) for x in (box.x, box.x + box.w))
    top, bottom = (round(min(max(y, 0.0), picture.height), 2) for y in (box.y, box.y + box.h))
    return replace(box, x=left, y=top, w=round(right - left, 2), h=round(bottom - top, 2))


def _pixels_outside(box: Box, picture: LabeledPicture) -> float:
    """How many pixels the box extends beyond the picture, rounded to 1/100."""
    return round(max(-box.x, -box.y, box.x + box.w - picture.width, box.y + box.h - picture.height, 0.0), 2)


def _no_area(box: Box, clipped: Box, picture: LabeledPicture) -> str:
    """Why `box` has no area inside the picture; "" if it has."""
    if box.w <= 0 or box.h <= 0:
        return "has no area"
    if box.x >= picture.width or box.y >= picture.height or box.x + box.w <= 0 or box.y + box.h <= 0:
        return f"is outside the {picture.width}x{picture.height} picture"
    # VOC includes a box's last pixel, so a point that was drawn by mistake is one pixel wide
    return "is at most one pixel wide or high inside the picture" if clipped.w <= 1 or clipped.h <= 1 else ""
