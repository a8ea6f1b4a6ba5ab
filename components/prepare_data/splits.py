"""Dividing pictures into train, val and test, so that a picture stays on its side when others come."""

import hashlib
from pathlib import Path

from components.prepare_data.layouts.source import RawDataset
from components.shared.boxes import LabeledPicture
from kd.errors import InputError

SPLITS = ("train", "val", "test")


def complete_splits(source: RawDataset, val: float, test: float, seed: int) -> dict[str, list[LabeledPicture]]:
    """The splits train, val and test of `source`; a missing test split, then a missing val split, is cut from train.

    Args:
        source: the data set as its layout divides it.
        val: share of the training pictures to set aside, 0 to 1; 0 leaves val empty.
        test: share of all pictures to set aside.
        seed: seed of the cuts; a picture's side depends on it and on the file's name alone.

    Raises:
        InputError: there are no training or no test pictures, or two splits name the same file.
    """
    splits = {split: source.splits.get(split, []) for split in SPLITS}
    _refuse_shared(splits)
    for split, share in (("test", test), ("val", val)):
        if not splits[split]:
            aside = {picture.path for picture in splits["train"] if _place(f"{split} {seed} {picture.path.name}") < share}
            splits[split] = [picture for picture in splits["train"] if picture.path in aside]
            splits["train"] = [picture for picture in splits["train"] if picture.path not in aside]
    for split, remedy in (("train", "add labelled pictures"), ("test", "add a test split, more pictures, or raise data.test")):
        if not splits[split]:
            raise InputError("data.path", f"gives no {split} pictures", remedy)
    return splits


def refuse_empty_classes(classes: list[str], splits: dict[str, list[LabeledPicture]]) -> None:
    """Raise `InputError` for the first class that no training box has."""
    known = {box.label for picture in splits["train"] for box in picture.boxes if not box.crowd}
    for label, name in enumerate(classes):
        if label not in known:
            raise InputError("data.path", f"class '{name}' has no box in the training pictures", "label some or remove the class")


def _refuse_shared(splits: dict[str, list[LabeledPicture]]) -> None:
    seen: dict[Path, str] = {}
    for split, pictures in splits.items():
        for picture in pictures:
            if picture.path in seen:
                raise InputError(picture.path, f"is in {seen[picture.path]} and in {split}", "list every picture once, in one split")
            seen[picture.path] = split


def _place(text: str) -> float:
    """A fixed place of `text` between 0 and 1."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
