"""Making labelled boxes fit their pictures: clip what reaches over the border, leave out what has no area inside."""

from dataclasses import replace

from components.prepare_data.layouts.source import RawDataset
from components.shared.boxes import Box, LabeledPicture

# reaching over the border by this much is rounding, not a mistake
SLACK_PIXELS, SLACK_SHARE = 2.0, 0.01


def fit_boxes(source: RawDataset) -> list[str]:
    """Clip the boxes of `source` to their pictures, in place, to 1/100 pixel, and leave out those without area inside.

    Returns:
        One line for every box that was left out or cut by more than rounding, and one that counts the slight cuts.
    """
    lines: list[str] = []
    slight = 0
    for picture in (picture for pictures in source.splits.values() for picture in pictures):
        kept = []
        for box in picture.boxes:
            fitted = _clipped(box, picture)
            note = _note(box, fitted, picture)
            lines += [f"{picture.path.name}, {box.name}: bbox [{box.x:g}, {box.y:g}, {box.w:g}, {box.h:g}] {note}"] if note else []
            kept += [fitted] if _has_area(fitted) else []
            slight += _has_area(fitted) and not note and _overhang(box, picture) > 0
        picture.boxes[:] = kept
    return lines + ([f"{slight} boxes reach over the border by at most {SLACK_PIXELS:g} pixels or 1 %; clipped"] if slight else [])


def _clipped(box: Box, picture: LabeledPicture) -> Box:
    left, right = (round(min(max(x, 0.0), picture.width), 2) for x in (box.x, box.x + box.w))
    top, bottom = (round(min(max(y, 0.0), picture.height), 2) for y in (box.y, box.y + box.h))
    return replace(box, x=left, y=top, w=round(right - left, 2), h=round(bottom - top, 2))


def _has_area(box: Box) -> bool:
    # VOC includes a box's last pixel, so what its tools draw as a point is one pixel wide
    return box.w > 1 and box.h > 1


def _overhang(box: Box, picture: LabeledPicture) -> float:
    """By how many pixels the box reaches over the border, to 1/100 pixel."""
    return round(max(-box.x, -box.y, box.x + box.w - picture.width, box.y + box.h - picture.height, 0.0), 2)


def _note(box: Box, fitted: Box, picture: LabeledPicture) -> str:
    """What is wrong with the box and what became of it; empty where nothing is."""
    if box.w <= 0 or box.h <= 0:
        return "has no area; left out, redraw or remove it"
    if fitted.w <= 0 or fitted.h <= 0:
        return f"lies outside the picture of {picture.width}x{picture.height}; left out, redraw or remove it"
    if not _has_area(fitted):
        return "is at most one pixel wide or high inside the picture; left out, redraw or remove it"
    overhang = _overhang(box, picture)
    if overhang > max(SLACK_PIXELS, SLACK_SHARE * max(picture.width, picture.height)):
        return f"reaches {overhang:g} pixels over the border of the picture of {picture.width}x{picture.height}; clipped, redraw it"
    return ""
