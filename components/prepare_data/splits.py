"""Split pictures into train, val and test. A picture stays in its split when others are added."""

import hashlib
from pathlib import Path

from components.prepare_data.layouts.dataset import RawDataset
from components.shared.boxes import LabeledPicture
from kd.errors import InputError

SPLITS = ("train", "val", "test")


def split_dataset(dataset: RawDataset, val: float, test: float, seed: int) -> dict[str, list[LabeledPicture]]:
    """The splits train, val and test of `dataset`. If test is missing, it is cut from train, and then likewise val.

    Args:
        dataset: the dataset with the splits that its layout defines.
        val: fraction of the training pictures for val, 0 to 1; 0 leaves val empty.
        test: fraction of all pictures for test.
        seed: seed of the cuts; a picture's split depends only on it and on the file name.

    Raises:
        InputError: if there are no training or test pictures, or a picture is listed twice.
    """
    splits = {split: dataset.splits.get(split, []) for split in SPLITS}
    _check_listed_once(splits)
    for split, fraction in (("test", test), ("val", val)):
        if not splits[split]:
            chosen = {picture.path for picture in splits["train"] if _hash_fraction(f"{split} {seed} {picture.path.name}") < fraction}
            splits[split] = [picture for picture in splits["train"] if picture.path in chosen]
            splits["train"] = [picture for picture in splits["train"] if picture.path not in chosen]
    for split, remedy in (("train", "add labeled pictures"), ("test", "add a test split, add pictures, or raise data.test")):
        if not splits[split]:
            raise InputError("data.path", f"has no {split} pictures", remedy)
    return splits


def check_classes_have_boxes(classes: list[str], splits: dict[str, list[LabeledPicture]]) -> None:
    """Raise `InputError` for the first class without boxes in the training pictures."""
    labels = {box.label for picture in splits["train"] for box in picture.boxes if not box.crowd}
    for label, name in enumerate(classes):
        if label not in labels:
            raise InputError("data.path", f"class '{name}' has no box in the training pictures", "label some or remove the class")


def _check_listed_once(splits: dict[str, list[LabeledPicture]]) -> None:
    seen: dict[Path, str] = {}
    for split, pictures in splits.items():
        for picture in pictures:
            if picture.path in seen:
                raise InputError(picture.path, f"is in {seen[picture.path]} and in {split}", "list every picture once, in one split")
            seen[picture.path] = split


def _hash_fraction(text: str) -> float:
    """A hash of `text`, uniform in 0..1."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
