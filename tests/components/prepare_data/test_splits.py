"""Splits that are cut: their shares, and that every picture keeps its side."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.prepare_data.layouts.source import RawDataset
from components.prepare_data.splits import complete_splits, refuse_empty_classes
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError


def pictures(count, prefix="p", labels=(0,)):
    boxes = [Box(label, 0, 0, 8, 8) for label in labels]
    return [LabeledPicture(Path(f"{prefix}{i}.jpg"), 32, 32, boxes, Path("labels.json")) for i in range(count)]


def sides(splits):
    return {picture.path.name: split for split, part in splits.items() for picture in part}


def test_shares_are_kept():
    splits = complete_splits(RawDataset(["a"], {"train": pictures(4000)}), val=0.1, test=0.2, seed=0)
    assert len(splits["test"]) == pytest.approx(800, rel=0.1)
    assert len(splits["val"]) == pytest.approx(320, rel=0.15)
    assert len(sides(splits)) == 4000


def test_pictures_keep_their_side_when_others_come():
    few, many = (sides(complete_splits(RawDataset(["a"], {"train": pictures(n)}), 0.2, 0.2, 0)) for n in (60, 600))
    assert few.items() <= many.items()
    assert set(few.values()) == {"train", "val", "test"}


def test_another_seed_cuts_otherwise():
    first, second = (sides(complete_splits(RawDataset(["a"], {"train": pictures(100)}), 0.2, 0.2, seed)) for seed in (0, 1))
    assert first != second


def test_splits_that_are_there_stay():
    source = RawDataset(["a"], {"train": pictures(50), "val": pictures(5, "v"), "test": pictures(5, "t")})
    assert complete_splits(source, 0.5, 0.5, 0) == source.splits


def test_only_the_missing_split_is_cut():
    source = RawDataset(["a"], {"train": pictures(100), "test": pictures(5, "t")})
    splits = complete_splits(source, 0.3, 0.3, 0)
    assert splits["test"] == source.splits["test"]
    assert 0 < len(splits["val"]) < 60


@given(st.floats(0, 0.5), st.floats(0.2, 0.5), st.integers(0, 99))
def test_every_picture_has_one_side(val, test, seed):
    source = RawDataset(["a"], {"train": pictures(200)})
    splits = complete_splits(source, val, test, seed)
    assert sorted(p.path for part in splits.values() for p in part) == sorted(p.path for p in source.splits["train"])
    assert val > 0 or splits["val"] == []


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({}, "gives no train pictures"),
        ({"test": pictures(3)}, "gives no train pictures"),
        ({"train": pictures(3), "val": []}, "gives no test pictures"),
        ({"train": pictures(3), "test": pictures(1)}, "is in train and in test"),
        ({"train": pictures(3) + pictures(1), "test": pictures(1, "t")}, "is in train and in train"),
    ],
)
def test_refuses(splits, words):
    with pytest.raises(InputError) as error:
        complete_splits(RawDataset(["a"], splits), val=0, test=0, seed=0)
    assert words in str(error.value)


def test_refuses_a_class_that_training_never_shows():
    crowd = LabeledPicture(Path("c.jpg"), 32, 32, [Box(1, 0, 0, 8, 8, crowd=True)], Path("labels.json"))
    with pytest.raises(InputError, match=r"class 'b' has no box in the training pictures; .*remove the class"):
        refuse_empty_classes(["a", "b"], {"train": [*pictures(3), crowd], "test": pictures(3, "t", labels=(1,))})
