"""Split pictures into train, val and test. A picture stays in its split when others are added."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.prepare_data.findings import Finding, find
from components.prepare_data.layouts.dataset import SPLITS, RawDataset
from components.shared.boxes import LabeledPicture
from kd.errors import InputError

AUGMENTED_COPY = re.compile(r"\.rf\.[0-9a-f]{32}(?=\.\w+$)")


@dataclass(slots=True)
class PictureGroup:
    """Pictures that stay in one split.

    Attributes:
        name: the smallest of their names without Roboflow's hash; it decides the split.
        pictures: the pictures.
        labels: their classes.
        hash_fraction: hash of the name, 0 to 1.
        is_cut: whether the group is cut from train.
    """

    name: str
    pictures: list[LabeledPicture]
    labels: frozenset[int]
    hash_fraction: float
    is_cut: bool


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
            groups = _find_groups(splits["train"], digests, f"{split} {seed}", fraction)
            moved += _move_for_classes(dataset.classes, groups, split)
            paths = {picture.path for group in groups if group.is_cut for picture in group.pictures}
            splits[split] = [picture for picture in splits["train"] if picture.path in paths]
            splits["train"] = [picture for picture in splits["train"] if picture.path not in paths]
    for split, remedy in (
        ("train", "add labeled pictures, or lower data.test and data.val"),
        ("test", "add a test split, add pictures, or raise data.test"),
    ):
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


def _find_groups(pictures: Sequence[LabeledPicture], digests: Mapping[Path, str], salt: str, fraction: float) -> list[PictureGroup]:
    """Groups of pictures that share their content, or their name apart from Roboflow's hash."""
    parents: dict[str, str] = {}

    def root(node: str) -> str:
        while (parent := parents.setdefault(node, node)) != node:
            node = parent
        return node

    for path in (picture.path for picture in pictures):
        if (key := group_key(path.name)) != path.name:
            parents[root(digests[path])] = root(f"copies of {key}")
    members: dict[str, list[LabeledPicture]] = defaultdict(list)
    for picture in pictures:
        members[root(digests[picture.path])].append(picture)
    groups = []
    for group in members.values():
        name = min(group_key(picture.path.name) for picture in group)
        hash_fraction = _hash_fraction(f"{salt} {name}")
        labels = frozenset(box.label for picture in group for box in picture.boxes if not box.crowd)
        groups.append(PictureGroup(name, group, labels, hash_fraction, hash_fraction < fraction))
    return groups


def _move_for_classes(classes: list[str], groups: list[PictureGroup], split: str) -> list[str]:
    """Move the group nearest to the cut for each class that train lacks, then for each that test lacks although two groups have it.

    Returns:
        The first picture of each group that moved, with its new split and the class.
    """
    moved = []
    in_cut, in_train = (Counter(label for group in groups if group.is_cut == side for label in group.labels) for side in (True, False))
    for label, name in enumerate(classes):
        if in_cut[label] and not in_train[label]:
            nearest = max((group for group in groups if label in group.labels), key=lambda group: group.hash_fraction)
            nearest.is_cut = False
            in_cut.subtract(nearest.labels)
            in_train.update(nearest.labels)
            moved.append(f"{nearest.pictures[0].path.name} to train for '{name}'")
    for label, name in enumerate(classes if split == "test" else []):
        if in_train[label] >= 2 and not in_cut[label]:
            having = [group for group in groups if label in group.labels]
            # train keeps at least one group of every class
            if movable := [group for group in having if all(in_train[other] >= 2 for other in group.labels)]:
                nearest = min(movable, key=lambda group: group.hash_fraction)
                nearest.is_cut = True
                in_train.subtract(nearest.labels)
                in_cut.update(nearest.labels)
                moved.append(f"{nearest.pictures[0].path.name} to test for '{name}'")
    return moved


def _check_listed_once(splits: dict[str, list[LabeledPicture]]) -> None:
    seen: dict[Path, str] = {}
    for split, pictures in splits.items():
        for picture in pictures:
            if picture.path in seen:
                problem = f"is in {seen[picture.path]} and in {split}" if seen[picture.path] != split else f"is twice in {split}"
                raise InputError(picture.path, problem, "list every picture once, in one split")
            seen[picture.path] = split


def _hash_fraction(text: str) -> float:
    """A hash of `text`, uniform in 0..1."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
