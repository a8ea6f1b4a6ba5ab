"""Splits that are cut from train: their sizes, and that pictures stay in their split."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.prepare_data.layouts.dataset import RawDataset
from components.prepare_data.splits import check_classes_have_boxes, split_dataset
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError


def pictures(count, prefix="p", labels=(0,)):
    boxes = [Box(label, 0, 0, 8, 8) for label in labels]
    return [LabeledPicture(Path(f"{prefix}{i}.jpg"), 32, 32, boxes, Path("labels.json")) for i in range(count)]


def split_by_name(splits):
    return {picture.path.name: split for split, part in splits.items() for picture in part}


def test_splits_have_the_given_fractions():
    splits = split_dataset(RawDataset(["a"], {"train": pictures(4000)}), val=0.1, test=0.2, seed=0)
    assert len(splits["test"]) == pytest.approx(800, rel=0.1)
    assert len(splits["val"]) == pytest.approx(320, rel=0.15)
    assert len(split_by_name(splits)) == 4000


def test_pictures_stay_in_their_split_when_others_are_added():
    few, many = (split_by_name(split_dataset(RawDataset(["a"], {"train": pictures(n)}), 0.2, 0.2, 0)) for n in (60, 600))
    assert few.items() <= many.items()
    assert set(few.values()) == {"train", "val", "test"}


def test_another_seed_gives_other_splits():
    first, second = (split_by_name(split_dataset(RawDataset(["a"], {"train": pictures(100)}), 0.2, 0.2, seed)) for seed in (0, 1))
    assert first != second


def test_existing_splits_are_unchanged():
    dataset = RawDataset(["a"], {"train": pictures(50), "val": pictures(5, "v"), "test": pictures(5, "t")})
    assert split_dataset(dataset, 0.5, 0.5, 0) == dataset.splits


def test_only_a_missing_split_is_cut():
    dataset = RawDataset(["a"], {"train": pictures(100), "test": pictures(5, "t")})
    splits = split_dataset(dataset, 0.3, 0.3, 0)
    assert splits["test"] == dataset.splits["test"]
    assert 0 < len(splits["val"]) < 60


@given(st.floats(0, 0.5), st.floats(0.2, 0.5), st.integers(0, 99))
def test_every_picture_is_in_one_split(val, test, seed):
    dataset = RawDataset(["a"], {"train": pictures(200)})
    splits = split_dataset(dataset, val, test, seed)
    assert sorted(p.path for part in splits.values() for p in part) == sorted(p.path for p in dataset.splits["train"])
    assert val > 0 or splits["val"] == []


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({}, "has no train pictures"),
        ({"test": pictures(3)}, "has no train pictures"),
        ({"train": pictures(3), "val": []}, "has no test pictures"),
        ({"train": pictures(3), "test": pictures(1)}, "is in train and in test"),
        ({"train": pictures(3) + pictures(1), "test": pictures(1, "t")}, "is in train and in train"),
    ],
)
def test_invalid_splits_are_rejected(splits, words):
    with pytest.raises(InputError) as error:
        split_dataset(RawDataset(["a"], splits), val=0, test=0, seed=0)
    assert words in str(error.value)


def test_a_class_without_training_boxes_is_rejected():
    crowd = LabeledPicture(Path("c.jpg"), 32, 32, [Box(1, 0, 0, 8, 8, crowd=True)], Path("labels.json"))
    with pytest.raises(InputError, match=r"class 'b' has no box in the training pictures; .*remove the class"):
        check_classes_have_boxes(["a", "b"], {"train": [*pictures(3), crowd], "test": pictures(3, "t", labels=(1,))})
