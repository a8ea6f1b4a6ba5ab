"""What training or evaluation would silently suffer from."""

from pathlib import Path

import pytest

from components.prepare_data.inspection import Inspection
from components.prepare_data.split_checks import check_splits
from components.shared.boxes import Box, LabeledPicture


def picture(name, *boxes, size=100):
    return LabeledPicture(Path(name), size, size, list(boxes), Path("labels.json"))


def found(splits, image_size=100, digests=()):
    """Findings by check, without those about small splits, which every tiny dataset has."""
    paths = [p.path for pictures in splits.values() for p in pictures]
    inspections = {path: Inspection((100, 100), dict(digests).get(path.name, path.name), 1, 8) for path in paths}
    findings = check_splits(["a"], splits, inspections, image_size)
    small = ("rare classes", "small test split", "empty val split")
    return {finding.check: finding for finding in findings if finding.check not in small}


def splits(train=(), val=(), test=()):
    return {"train": list(train), "val": list(val), "test": list(test)}


def test_identical_pictures_across_and_inside_splits():
    data = splits([picture("a.jpg"), picture("b.jpg"), picture("c.jpg")], test=[picture("d.jpg")])
    result = found(data, digests={"a.jpg": "x", "b.jpg": "x", "c.jpg": "y", "d.jpg": "y"})
    assert result["identical pictures"].examples == ["train/a.jpg = train/b.jpg"]
    assert result["identical pictures across splits"].examples == ["train/c.jpg = test/d.jpg"]
    assert found(data) == {}


@pytest.mark.parametrize("split", ["val", "test"])
def test_augmented_copies_across_the_users_splits(split):
    data = splits([picture("a_jpg.rf." + "1" * 32 + ".jpg")], **{split: [picture("a_jpg.rf." + "2" * 32 + ".jpg")]})
    assert found(data)["copies across splits"].count == 1


@pytest.mark.parametrize(
    ("side", "count", "words"),
    [(1.9, 1, "training drops such boxes (1 in a mosaic)"), (2.5, 1, "pixels in a mosaic"), (3.2, 0, "")],
)
def test_boxes_that_training_drops(side, count, words):
    result = found(splits([picture("a.jpg", Box(0, 0, 0, side, 50))]))
    assert result["small boxes"].count == count if count else result == {}
    assert not count or words in result["small boxes"].problem


def test_the_size_of_a_box_is_that_in_the_square_of_the_network():
    data = splits([picture("a.jpg", Box(0, 0, 0, 10, 50), size=1000)])
    assert "small boxes" in found(data, image_size=160) and "small boxes" not in found(data, image_size=416)
    assert found(splits([picture("a.jpg", Box(0, 0, 0, 1, 50, crowd=True))])) == {}


def test_more_objects_than_are_detected():
    boxes = [Box(0, i % 10 * 9, i // 10 * 5, 8, 4) for i in range(150)]
    finding = found(splits([picture("a.jpg", *boxes)]))["crowded pictures"]
    assert finding.examples == ["a.jpg"] and "evaluate.max_detections to at least 150" in finding.remedy


def test_splits_that_are_too_small_to_compare_models():
    data = splits([picture("a.jpg", Box(0, 0, 0, 50, 50))], test=[picture("t.jpg", Box(0, 0, 0, 50, 50))])
    inspections = {p.path: Inspection((100, 100), p.path.name, 1, 8) for part in data.values() for p in part}
    checks = {finding.check: finding.examples for finding in check_splits(["a"], data, inspections, 100)}
    assert checks == {"rare classes": ["a: 1"], "small test split": ["pictures: 1"], "empty val split": ["no pictures"]}
    plenty = splits(data["train"], [picture("v.jpg")], [picture(f"t{i}.jpg", Box(0, 0, 0, 50, 50)) for i in range(50)])
    assert check_splits(["a"], plenty, {p.path: Inspection((9, 9), p.path.name, 1, 8) for s in plenty.values() for p in s}, 100) == []
