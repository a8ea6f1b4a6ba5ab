"""Splits that are cut from train: their sizes, and that pictures stay in their split."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.prepare_data.layouts.dataset import RawDataset
from components.prepare_data.splits import check_classes_have_boxes, group_key, split_dataset
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError


def pictures(count, prefix="p", labels=(0,)):
    boxes = [Box(label, 0, 0, 8, 8) for label in labels]
    return [LabeledPicture(Path(f"{prefix}{i}.jpg"), 32, 32, boxes, Path("labels.json")) for i in range(count)]


def split(dataset, val=0.2, test=0.2, seed=0, digests=None):
    """The splits, and the lines about groups that moved; by default, all pictures have different content."""
    paths = [picture.path for part in dataset.splits.values() for picture in part]
    splits, findings = split_dataset(dataset, val, test, seed, {path: path.name for path in paths} | (digests or {}))
    return splits, [line for finding in findings for line in finding.examples]


def named(names, label=0):
    return [LabeledPicture(Path(name), 32, 32, [Box(label, 0, 0, 8, 8)], Path("labels.json")) for name in names]


def split_by_name(splits):
    return {picture.path.name: split for split, part in splits.items() for picture in part}


def test_splits_have_the_given_fractions():
    splits, _ = split(RawDataset(["a"], {"train": pictures(4000)}), val=0.1, test=0.2)
    assert len(splits["test"]) == pytest.approx(800, rel=0.1)
    assert len(splits["val"]) == pytest.approx(320, rel=0.15)
    assert len(split_by_name(splits)) == 4000


def test_pictures_stay_in_their_split_when_others_are_added():
    few, many = (split_by_name(split(RawDataset(["a"], {"train": pictures(n)}))[0]) for n in (60, 600))
    assert few.items() <= many.items()
    assert set(few.values()) == {"train", "val", "test"}


def test_another_seed_gives_other_splits():
    first, second = (split_by_name(split(RawDataset(["a"], {"train": pictures(100)}), seed=seed)[0]) for seed in (0, 1))
    assert first != second


def test_existing_splits_are_unchanged():
    dataset = RawDataset(["a"], {"train": pictures(50), "val": pictures(5, "v"), "test": pictures(5, "t")})
    assert split(dataset, 0.5, 0.5) == (dataset.splits, [])


def test_only_a_missing_split_is_cut():
    dataset = RawDataset(["a"], {"train": pictures(100), "test": pictures(5, "t")})
    splits, _ = split(dataset, 0.3, 0.3)
    assert splits["test"] == dataset.splits["test"]
    assert 0 < len(splits["val"]) < 60


@given(st.floats(0, 0.5), st.floats(0.2, 0.5), st.integers(0, 99))
def test_every_picture_is_in_one_split(val, test, seed):
    dataset = RawDataset(["a"], {"train": pictures(200)})
    splits, _ = split(dataset, val, test, seed)
    assert sorted(p.path for part in splits.values() for p in part) == sorted(p.path for p in dataset.splits["train"])
    assert val > 0 or splits["val"] == []


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({}, "has no train pictures"),
        ({"test": pictures(3)}, "has no train pictures"),
        ({"train": pictures(3), "val": []}, "has no test pictures"),
        ({"train": pictures(3), "test": pictures(1)}, "is in train and in test"),
        ({"train": pictures(3) + pictures(1), "test": pictures(1, "t")}, "p0.jpg: is twice in train"),
    ],
)
def test_invalid_splits_are_rejected(splits, words):
    with pytest.raises(InputError) as error:
        split(RawDataset(["a"], splits), val=0, test=0)
    assert words in str(error.value)


def test_a_class_without_training_boxes_is_rejected():
    crowd = LabeledPicture(Path("c.jpg"), 32, 32, [Box(1, 0, 0, 8, 8, crowd=True)], Path("labels.json"))
    with pytest.raises(InputError, match=r"class 'b' has no box in the training pictures; .*remove the class"):
        check_classes_have_boxes(["a", "b"], {"train": [*pictures(3), crowd], "test": pictures(3, "t", labels=(1,))})


def test_identical_pictures_stay_together():
    copies = {Path(f"p{i}.jpg"): f"content {i % 50}" for i in range(200)}
    splits, _ = split(RawDataset(["a"], {"train": pictures(200)}), digests=copies)
    where = split_by_name(splits)
    assert all(len({where[f"p{i + 50 * k}.jpg"] for k in range(4)}) == 1 for i in range(50))
    assert set(where.values()) == {"train", "val", "test"}


def test_augmented_copies_stay_together():
    names = [f"street_{i}_jpg.rf.{copy:032x}.jpg" for i in range(60) for copy in range(3)]
    where = split_by_name(split(RawDataset(["a"], {"train": named(names)}))[0])
    assert all(len({where[names[3 * i + copy]] for copy in range(3)}) == 1 for i in range(60))
    assert set(where.values()) == {"train", "val", "test"}


def test_a_chain_of_copies_is_one_group():
    names = ["b.rf." + "1" * 32 + ".jpg", "b.rf." + "2" * 32 + ".jpg", "a.jpg", "c.jpg"]
    same = {Path(names[1]): "x", Path(names[2]): "x", Path(names[3]): "y"}
    others = named(f"q{i}.jpg" for i in range(40))
    for seed in range(20):
        where = split_by_name(split(RawDataset(["a"], {"train": [*named(names), *others]}), seed=seed, digests=same)[0])
        assert where[names[0]] == where[names[1]] == where[names[2]]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a_jpg.rf.0123456789abcdef0123456789abcdef.jpg", "a_jpg.jpg"),
        ("a.rf.0123.jpg", "a.rf.0123.jpg"),
        ("a.jpg", "a.jpg"),
    ],
)
def test_group_key(name, key):
    assert group_key(name) == key


def test_a_cut_leaves_every_class_in_train():
    for seed in range(30):
        dataset = RawDataset(["a", "rare"], {"train": [*pictures(40), *named(["r.jpg"], label=1)]})
        splits, moved = split(dataset, 0.4, 0.4, seed)
        assert split_by_name(splits)["r.jpg"] == "train"
        unmoved = seed_of_split("test", seed, "r.jpg") >= 0.4 and seed_of_split("val", seed, "r.jpg") >= 0.4
        assert ("r.jpg to train for 'rare'" in moved) == (not unmoved)


def seed_of_split(split, seed, name):
    """The documented rule, written a second time: the first 8 bytes of SHA-256, as a fraction."""
    return int.from_bytes(hashlib.sha256(f"{split} {seed} {name}".encode()).digest()[:8]) / 2**64


def test_a_class_with_two_pictures_has_one_in_train_and_one_in_test():
    for seed in range(30):
        dataset = RawDataset(["a", "rare"], {"train": [*pictures(40), *named(["r.jpg", "s.jpg"], label=1)]})
        where = split_by_name(split(dataset, 0, 0.2, seed)[0])
        assert {where["r.jpg"], where["s.jpg"]} == {"train", "test"}


def test_nothing_moves_if_every_class_is_in_train_and_test():
    for seed in range(5):
        splits, moved = split(RawDataset(["a"], {"train": pictures(300)}), seed=seed)
        expected = {f"p{i}.jpg" for i in range(300) if seed_of_split("test", seed, f"p{i}.jpg") < 0.2}
        assert {picture.path.name for picture in splits["test"]} == expected and moved == []
