"""Boxes that extend beyond their picture, or have no area in it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.prepare_data.clipping import clip_boxes
from components.prepare_data.layouts.dataset import RawDataset
from components.shared.boxes import Box, LabeledPicture

COORDINATE = st.floats(-300, 300)
LABEL_FILE = Path("labels.json")


def clip(box, width=100, height=50):
    picture = LabeledPicture(Path("a.jpg"), width, height, [Box(0, *box, name="annotation 3")], LABEL_FILE)
    warnings = clip_boxes(RawDataset(["cat"], {"train": [picture]}))
    return [(b.x, b.y, b.w, b.h) for b in picture.boxes], warnings


def test_a_box_inside_is_unchanged():
    assert clip((10, 5, 90, 45)) == ([(10, 5, 90, 45)], [])


@pytest.mark.parametrize("box", [(-2, 5, 20, 20), (82, 32, 20, 20), (-1, -0.5, 102, 51)])
def test_boxes_slightly_outside_are_clipped_and_counted(box):
    boxes, warnings = clip(box)
    assert boxes != []
    assert warnings == ["1 boxes extend at most 2 pixels or 1 % beyond their picture; clipped"]


def test_the_tolerance_grows_with_the_picture():
    assert clip((-9, 5, 20, 20), width=1000)[1] == ["1 boxes extend at most 2 pixels or 1 % beyond their picture; clipped"]


def test_rounding_errors_are_ignored():
    assert clip((80.001, 0, 20.002, 10)) == ([(80, 0, 20, 10)], [])


def test_boxes_farther_outside_are_clipped_with_a_warning():
    assert clip((-10, 5, 30, 20)) == (
        [(0, 5, 20, 20)],
        ["a.jpg, annotation 3: bbox [-10, 5, 30, 20] extends 10 pixels beyond the 100x50 picture; clipped, correct it"],
    )


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((5, 5, 0, 10), "bbox [5, 5, 0, 10] has no area"),
        ((5, 5, 10, -4), "has no area"),
        ((100, 5, 20, 20), "is outside the 100x50 picture"),
        ((-30, 5, 20, 20), "is outside"),
        ((5, 60, 20, 20), "is outside"),
        ((5, 5, 1, 20), "is at most one pixel wide or high"),
        ((5, 5, 20, 1), "is at most one pixel wide or high"),
        ((5, 5, 1, 1), "is at most one pixel wide or high"),
        ((99.5, 5, 20, 20), "is at most one pixel wide or high"),
    ],
)
def test_boxes_without_area_are_dropped_with_a_warning(box, words):
    boxes, (warning,) = clip(box)
    assert boxes == []
    assert warning.startswith("a.jpg, annotation 3: bbox ")
    assert words in warning
    assert warning.endswith("dropped, correct or remove it")


@given(st.lists(st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE), max_size=5))
def test_kept_boxes_are_inside_and_dropped_boxes_have_a_warning(boxes):
    picture = LabeledPicture(Path("a.jpg"), 100, 50, [Box(0, *box, name=f"annotation {i}") for i, box in enumerate(boxes)], LABEL_FILE)
    warnings = clip_boxes(RawDataset(["cat"], {"train": [picture]}))
    for box in picture.boxes:
        assert 0 <= box.x < box.x + box.w <= 100 + 1e-9
        assert 0 <= box.y < box.y + box.h <= 50 + 1e-9
        assert min(box.w, box.h) > 1
    dropped = {f"annotation {i}" for i in range(len(boxes))} - {box.name for box in picture.boxes}
    assert dropped == {name for name in dropped if any(f"{name}:" in warning and "dropped" in warning for warning in warnings)}
    kept = [*picture.boxes]
    assert clip_boxes(RawDataset(["cat"], {"train": [picture]})) == []
    assert picture.boxes == kept
