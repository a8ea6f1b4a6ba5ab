"""Split pictures into train, val and test. A picture stays in its split when others are added."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from components.prepare_data.findings import Finding, find
from components.prepare_data.layouts.dataset import RawDataset
from components.shared.boxes import LabeledPicture
from kd.errors import InputError

SPLITS = ("train", "val", "test")
AUGMENTED_COPY = re.compile(r"\.rf\.[0-9a-f]{32}(?=\.\w+$)")
Groups = dict[str, list[LabeledPicture]]
"""Pictures that belong together, by the name that decides their split."""


def split_dataset(
    dataset: RawDataset, val: float, test: float, seed: int, digests: Mapping[Path, str]
) -> tuple[dict[str, list[LabeledPicture]], list[Finding]]:
    """The splits train, val and test of `dataset`. If test is missing, it is cut from train, and then likewise val.

    The cut depends on the seed and the file name only. Identical pictures, and Roboflow's augmented copies of one picture, stay
    together. If a cut leaves a class out of train, or out of test although two groups have it, one group moves.

    Args:
        dataset: the dataset with the splits that its layout defines.
        val: fraction of the training pictures for val, 0 to 1; 0 leaves val empty.
        test: fraction of all pictures for test.
        seed: seed of the cuts.
        digests: of the pictures' content.

    Returns:
        The splits, and a finding if a group was moved for the sake of a class.

    Raises:
        InputError: if there are no training or test pictures, or a picture is listed twice.
    """
    splits = {split: dataset.splits.get(split, []) for split in SPLITS}
    _check_listed_once(splits)
    moved: list[str] = []
    for split, fraction in (("test", test), ("val", val)):
        if fraction and not splits[split] and splits["train"]:
            groups = _groups(splits["train"], digests)
            places = {key: _hash_fraction(f"{split} {seed} {key}") for key in groups}
            chosen = {key for key, place in places.items() if place < fraction}
            moved += _rescue_classes(dataset.classes, groups, places, chosen, split)
            paths = {picture.path for key in chosen for picture in groups[key]}
            splits[split] = [picture for picture in splits["train"] if picture.path in paths]
            splits["train"] = [picture for picture in splits["train"] if picture.path not in paths]
    for split, remedy in (("train", "add labeled pictures"), ("test", "add a test split, add pictures, or raise data.test")):
        if not splits[split]:
            raise InputError("data.path", f"has no {split} pictures", remedy)
    problem = "pictures were moved, because the cut left a rare class out of train or test"
    return splits, find("moved pictures", moved, problem, "add pictures of this class, or split the data yourself")


def check_classes_have_boxes(classes: list[str], splits: dict[str, list[LabeledPicture]]) -> None:
    """Raise `InputError` for the first class without boxes in the training pictures."""
    labels = {box.label for picture in splits["train"] for box in picture.boxes if not box.crowd}
    for label, name in enumerate(classes):
        if label not in labels:
            raise InputError("data.path", f"class '{name}' has no box in the training pictures", "label some or remove the class")


def group_key(name: str) -> str:
    """The file name without the hash that Roboflow appends to augmented copies of one picture."""
    return AUGMENTED_COPY.sub("", name)


def _groups(pictures: list[LabeledPicture], digests: Mapping[Path, str]) -> Groups:
    """Pictures with one key or one content are a group, under its smallest key."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    first_key: dict[str, str] = {}
    for picture in pictures:
        key = group_key(picture.path.name)
        own, other = root(key), root(first_key.setdefault(digests[picture.path], key))
        parent[max(own, other)] = min(own, other)
    groups: Groups = defaultdict(list)
    for picture in pictures:
        groups[root(group_key(picture.path.name))].append(picture)
    return groups


def _rescue_classes(classes: list[str], groups: Groups, places: Mapping[str, float], chosen: set[str], split: str) -> list[str]:
    """Move the group nearest to the threshold for each class that train lacks, or that test lacks although two groups have it.

    `chosen` are the groups of `split`; it is changed in place. Returns a line for each group that moved.
    """
    labels = {key: {box.label for p in pictures for box in p.boxes if not box.crowd} for key, pictures in groups.items()}
    lines = []
    for label, name in enumerate(classes):
        having = [key for key in groups if label in labels[key]]
        if having and all(key in chosen for key in having):
            nearest = max(having, key=places.__getitem__)
            chosen.remove(nearest)
            lines.append(f"{nearest} to train for '{name}'")
        elif split == "test" and len(having) >= 2 and not any(key in chosen for key in having):
            remaining = {key: [other for other in groups if other not in chosen and other != key] for key in having}
            movable = [key for key in having if all(any(one in labels[other] for other in remaining[key]) for one in labels[key])]
            if movable:
                nearest = min(movable, key=places.__getitem__)
                chosen.add(nearest)
                lines.append(f"{nearest} to test for '{name}'")
    return lines


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
