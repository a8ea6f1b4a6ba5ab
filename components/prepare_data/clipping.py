"""Clip labeled boxes to their pictures and drop boxes without area inside."""

from dataclasses import replace

from components.prepare_data.layouts.dataset import RawDataset
from components.shared.boxes import Box, LabeledPicture

# boxes may extend beyond the picture by this much, in pixels or as a fraction of its longer side, because labels are rounded
TOLERANCE_PIXELS, TOLERANCE_FRACTION = 2.0, 0.01


def clip_boxes(dataset: RawDataset) -> list[str]:
    """Clip the boxes of `dataset` in place, rounded to 1/100 pixel, and drop those without area inside their picture.

    Returns:
        One warning for each box that was dropped or clipped by more than the tolerance, and one with the number of other clipped boxes.
    """
    warnings: list[str] = []
    slight = 0
    for picture in (picture for pictures in dataset.splits.values() for picture in pictures):
        kept = []
        for box in picture.boxes:
            clipped = _clip(box, picture)
            problem = _problem(box, clipped, picture)
            if problem:
                warnings.append(f"{picture.path.name}, {box.name}: bbox [{box.x:g}, {box.y:g}, {box.w:g}, {box.h:g}] {problem}")
            if _has_area(clipped):
                kept.append(clipped)
                slight += not problem and _pixels_outside(box, picture) > 0
        picture.boxes[:] = kept
    if slight:
        warnings.append(f"{slight} boxes extend at most {TOLERANCE_PIXELS:g} pixels or 1 % beyond their picture; clipped")
    return warnings


def _clip(box: Box, picture: LabeledPicture) -> Box:
    left, right = (round(min(max(x, 0.0), picture.width), 2) for x in (box.x, box.x + box.w))
    top, bottom = (round(min(max(y, 0.0), picture.height), 2) for y in (box.y, box.y + box.h))
    return replace(box, x=left, y=top, w=round(right - left, 2), h=round(bottom - top, 2))


def _has_area(box: Box) -> bool:
    # VOC includes a box's last pixel, so a point that was drawn by mistake is one pixel wide
    return box.w > 1 and box.h > 1


def _pixels_outside(box: Box, picture: LabeledPicture) -> float:
    """How many pixels the box extends beyond the picture, rounded to 1/100."""
    return round(max(-box.x, -box.y, box.x + box.w - picture.width, box.y + box.h - picture.height, 0.0), 2)


def _problem(box: Box, clipped: Box, picture: LabeledPicture) -> str:
    """What is wrong with `box` and what was done about it; "" if it is valid."""
    if box.w <= 0 or box.h <= 0:
        return "has no area; dropped, correct or remove it"
    if clipped.w <= 0 or clipped.h <= 0:
        return f"is outside the {picture.width}x{picture.height} picture; dropped, correct or remove it"
    if not _has_area(clipped):
        return "is at most one pixel wide or high inside the picture; dropped, correct or remove it"
    outside = _pixels_outside(box, picture)
    if outside > max(TOLERANCE_PIXELS, TOLERANCE_FRACTION * max(picture.width, picture.height)):
        return f"extends {outside:g} pixels beyond the {picture.width}x{picture.height} picture; clipped, correct it"
    return ""
