"""Boxes that do not fit their picture."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.prepare_data.clipping import fit_boxes
from components.prepare_data.layouts.source import RawDataset
from components.shared.boxes import Box, LabeledPicture

PLACE = st.floats(-300, 300)
LABELS = Path("labels.json")


def fit(box, width=100, height=50):
    picture = LabeledPicture(Path("a.jpg"), width, height, [Box(0, *box, name="annotation 3")], LABELS)
    lines = fit_boxes(RawDataset(["cat"], {"train": [picture]}))
    return [(b.x, b.y, b.w, b.h) for b in picture.boxes], lines


def test_a_box_inside_stays_as_it_is():
    assert fit((10, 5, 90, 45)) == ([(10, 5, 90, 45)], [])


@pytest.mark.parametrize("box", [(-2, 5, 20, 20), (82, 32, 20, 20), (-1, -0.5, 102, 51)])
def test_slight_overhang_is_clipped_and_counted(box):
    boxes, lines = fit(box)
    assert boxes != []
    assert lines == ["1 boxes reach over the border by at most 2 pixels or 1 %; clipped"]


def test_slack_grows_with_the_picture():
    assert fit((-9, 5, 20, 20), width=1000)[1] == ["1 boxes reach over the border by at most 2 pixels or 1 %; clipped"]


def test_rounding_is_no_overhang():
    assert fit((80.001, 0, 20.002, 10)) == ([(80, 0, 20, 10)], [])


def test_larger_overhang_is_clipped_and_named():
    assert fit((-10, 5, 30, 20)) == (
        [(0, 5, 20, 20)],
        ["a.jpg, annotation 3: bbox [-10, 5, 30, 20] reaches 10 pixels over the border of the picture of 100x50; clipped, redraw it"],
    )


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((5, 5, 0, 10), "bbox [5, 5, 0, 10] has no area"),
        ((5, 5, 10, -4), "has no area"),
        ((100, 5, 20, 20), "lies outside the picture of 100x50"),
        ((-30, 5, 20, 20), "lies outside"),
        ((5, 60, 20, 20), "lies outside"),
        ((5, 5, 1, 20), "is at most one pixel wide or high"),
        ((5, 5, 20, 1), "is at most one pixel wide or high"),
        ((5, 5, 1, 1), "is at most one pixel wide or high"),
        ((99.5, 5, 20, 20), "is at most one pixel wide or high"),
    ],
)
def test_boxes_without_area_are_left_out_and_named(box, words):
    boxes, (line,) = fit(box)
    assert boxes == []
    assert line.startswith("a.jpg, annotation 3: bbox ")
    assert words in line
    assert line.endswith("left out, redraw or remove it")


@given(st.lists(st.tuples(PLACE, PLACE, PLACE, PLACE), max_size=5))
def test_what_remains_lies_inside_and_what_goes_is_named(boxes):
    picture = LabeledPicture(Path("a.jpg"), 100, 50, [Box(0, *box, name=f"annotation {i}") for i, box in enumerate(boxes)], LABELS)
    lines = fit_boxes(RawDataset(["cat"], {"train": [picture]}))
    for box in picture.boxes:
        assert 0 <= box.x < box.x + box.w <= 100 + 1e-9
        assert 0 <= box.y < box.y + box.h <= 50 + 1e-9
        assert min(box.w, box.h) > 1
    gone = {f"annotation {i}" for i in range(len(boxes))} - {box.name for box in picture.boxes}
    assert gone == {name for name in gone if any(f"{name}:" in line and "left out" in line for line in lines)}
    again = [*picture.boxes]
    assert fit_boxes(RawDataset(["cat"], {"train": [picture]})) == []
    assert picture.boxes == again
