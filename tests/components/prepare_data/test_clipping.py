"""Boxes that extend beyond their picture, or have no area in it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.prepare_data.clipping import clip_boxes, drop_duplicates
from components.prepare_data.layouts.dataset import RawDataset
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError

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
    assert warnings == ["boxes clipped, because they extend at most 2 pixels or 1 % beyond their picture: 1"]


def test_the_tolerance_grows_with_the_picture():
    assert clip((-9, 5, 20, 20), width=1000)[1] == ["boxes clipped, because they extend at most 2 pixels or 1 % beyond their picture: 1"]


def test_rounding_errors_are_ignored():
    assert clip((80.001, 0, 20.002, 10)) == ([(80, 0, 20, 10)], [])


@pytest.mark.parametrize(("box", "outside"), [((-10, 5, 30, 20), 10), ((-2.01, 5, 20, 20), 2.01), ((10, 30, 20, 25), 5)])
def test_boxes_farther_outside_are_rejected(box, outside):
    with pytest.raises(InputError) as error:
        clip(box)
    values = ", ".join(f"{value:g}" for value in box)
    assert str(error.value) == (
        f"labels.json: a.jpg, annotation 3: bbox [{values}] extends {outside:g} pixels beyond the 100x50 picture; "
        "correct the boxes, or the picture's size in the labels"
    )


def test_all_boxes_farther_outside_are_counted():
    boxes = [Box(0, x, 5, 20, 20, name=f"line {x}") for x in (5, 90, -7, 95)]
    picture = LabeledPicture(Path("a.jpg"), 100, 50, boxes, LABEL_FILE)
    with pytest.raises(InputError, match=r"a\.jpg, line 90: .* 10 pixels beyond the 100x50 picture \(and 2 more\)"):
        clip_boxes(RawDataset(["cat"], {"train": [picture]}))


def test_boxes_of_a_picture_that_cannot_be_opened_are_unchanged():
    assert clip((10, 5, 90, 45), width=0, height=0) == ([(10, 5, 90, 45)], [])


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((5, 5, 0, 10), "bbox [5, 5, 0, 10] has no area"),
        ((5, 5, 10, -4), "has no area"),
        ((100, 5, 20, 20), "is outside the 100x50 picture"),
        ((-30, 5, 20, 20), "is outside"),
        ((5, 60, 20, 20), "is outside"),
        ((5, 5, 1e-320, 10), "is at most one pixel wide or high"),
        ((5, 5, 10, 0.001), "is at most one pixel wide or high"),
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
def test_kept_boxes_are_inside_and_others_are_dropped_with_a_warning_or_rejected(boxes):
    picture = LabeledPicture(Path("a.jpg"), 100, 50, [Box(0, *box, name=f"annotation {i}") for i, box in enumerate(boxes)], LABEL_FILE)
    try:
        warnings = clip_boxes(RawDataset(["cat"], {"train": [picture]}))
    except InputError:
        assert any(max(-x, -y, x + w - 100, y + h - 50) > 2 for x, y, w, h in boxes)
        return
    for box in picture.boxes:
        assert 0 <= box.x < box.x + box.w <= 100 + 1e-9
        assert 0 <= box.y < box.y + box.h <= 50 + 1e-9
        assert min(box.w, box.h) > 1
    dropped = {f"annotation {i}" for i in range(len(boxes))} - {box.name for box in picture.boxes}
    assert dropped == {name for name in dropped if any(f"{name}:" in warning and "dropped" in warning for warning in warnings)}
    kept = [*picture.boxes]
    assert clip_boxes(RawDataset(["cat"], {"train": [picture]})) == []
    assert picture.boxes == kept


def unique(*boxes):
    """The names of the boxes that are kept, and the findings."""
    picture = LabeledPicture(Path("a.jpg"), 100, 50, [Box(*box, name=f"line {i}") for i, box in enumerate(boxes, 1)], LABEL_FILE)
    findings = drop_duplicates(RawDataset(["cat", "dog"], {"train": [picture]}))
    return [box.name for box in picture.boxes], findings


def test_duplicate_boxes_are_dropped_and_counted():
    kept, (finding,) = unique((0, 5, 5, 20, 20), (1, 5, 5, 20, 20), (0, 40, 5, 20, 20), (0, 5.3, 4.8, 20, 20.5), (0, 4.5, 5, 20, 20))
    assert kept == ["line 1", "line 2", "line 3"]
    assert (finding.check, finding.count, finding.examples) == ("duplicate boxes", 2, ["a.jpg, line 4", "a.jpg, line 5"])


@pytest.mark.parametrize("other", [(1, 5, 5, 20, 20), (0, 5.6, 5, 20, 20), (0, 5, 5, 20.6, 20), (0, 5, 5, 20, 20, True)])
def test_similar_boxes_are_kept(other):
    assert unique((0, 5, 5, 20, 20), other) == (["line 1", "line 2"], [])


@given(st.lists(st.tuples(st.integers(0, 1), *[st.integers(0, 6).map(lambda value: value / 4)] * 2), max_size=12))
def test_every_dropped_box_repeats_a_kept_one_and_no_kept_box_does(corners):
    boxes = [(label, x, y, 8, 8) for label, x, y in corners]
    kept, _ = unique(*boxes)
    chosen = [boxes[int(name.split()[1]) - 1] for name in kept]

    def equal(a, b):
        return a[0] == b[0] and abs(a[1] - b[1]) <= 0.5 and abs(a[2] - b[2]) <= 0.5

    assert all(any(equal(box, other) for other in chosen) for box in boxes)
    assert not any(equal(a, b) for i, a in enumerate(chosen) for b in chosen[:i])


def test_many_boxes_are_compared_fast():
    assert len(unique(*[(0, x % 97, x // 97, 1, 1) for x in range(5000)])[0]) == 5000
