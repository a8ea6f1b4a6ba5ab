"""The lines of YOLO's label files: boxes, polygons and key points, and what is rejected."""

import pytest

from components.prepare_data.layouts import yolo
from kd.errors import InputError
from tests.components.prepare_data.layouts.exports import edit_yaml
from tests.components.prepare_data.layouts.structures import rejection


@pytest.fixture
def folder(writers, data):
    return writers["yolo"](data)


def test_numbers_outside_0_to_1_by_rounding_are_accepted(folder):
    (folder / "labels" / "train" / "a.txt").write_text("0 -0.0000005 0.5 0.2 0.2\n1 0.5 0.5002185 1 1.000437\n")
    first, second = yolo.read(folder).splits["train"][0].boxes
    assert (first.x, second.h) == pytest.approx((-0.00002 - 4, 20.00874))


def test_a_polygon_is_converted_to_its_box(folder):
    (folder / "labels" / "train" / "a.txt").write_text("1 0.1 0.2 0.5 0.1 0.3 0.9\n0 0 0 0.5 0 0.5 1 0 1\n")
    boxes = yolo.read(folder).splits["train"][0].boxes
    assert [(b.label, b.x, b.y, b.w, b.h) for b in boxes] == [(1, 4, 2, 16, pytest.approx(16)), (0, 0, 0, 20, 20)]


def test_key_points_after_the_box_are_ignored(folder):
    edit_yaml(folder, kpt_shape=[2, 3])
    (folder / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 0.5 0.5 0.1 0.1 2 0.9 0.9 2\n")
    (box,) = yolo.read(folder).splits["train"][0].boxes
    assert (box.x, box.y, box.w, box.h) == (10, 5, 20, 10)


def test_lines_have_the_number_of_key_points_of_the_yaml(folder):
    edit_yaml(folder, kpt_shape=[2, 3])
    (folder / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 0.5 0.5 0.1 0.1 2\n")
    with pytest.raises(InputError, match=r"a\.txt: line 1 is .*, not five numbers, or five and 6 for the key points"):
        yolo.read(folder)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.2", "is '0 0.5 0.5 0.2', not five numbers"),
        ("0 0.5 0.5 0.2 0.2 0.9", "not five numbers"),
        ("cat 0.5 0.5 0.2 0.2", "not five numbers"),
        ("2 0.5 0.5 0.2 0.2", "has the class 2"),
        ("-1 0.5 0.5 0.2 0.2", "has the class -1"),
        ("0.5 0.5 0.5 0.2 0.2", "has the class 0.5"),
        ("nan 0.5 0.5 0.2 0.2", "has the class nan"),
        ("0 120 85 40 40", "a number outside 0 to 1"),
        ("0 nan 0.5 0.2 0.2", "a number outside 0 to 1"),
        ("0 0.5 0.5 0.2 inf", "a number outside 0 to 1"),
        ("0 0.5 0.5 1.06 0.2", "a number outside 0 to 1"),
        ("0 0.1 0.1 0.2 0.1 0.1", "not five numbers"),
        ("0 0.1 0.1 0.2 0.1 0.1 0.2 0.3", "not five numbers"),
        ("0 0.1 0.1 0.2 0.1 0.1 1.2", "a number outside 0 to 1"),
        ("0 0.5 0.5 -0.2 0.2", "a number outside 0 to 1"),
    ],
)
def test_invalid_lines_are_rejected(folder, line, words):
    file = folder / "labels" / "train" / "a.txt"
    file.write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    message = rejection(yolo.read, folder)
    assert message.startswith(f"{file}: line 2 ") and words in message
