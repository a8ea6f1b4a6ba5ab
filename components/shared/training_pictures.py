"""The pictures that a model was trained on, by content, so that it is not scored on them later.

A model inherits the pictures of its initial weights and of its teacher.
"""

from collections.abc import Collection
from pathlib import Path

from kd.data.dataset import UNLABELLED
from kd.data.shards import original_digests
from kd.errors import InputError
from kd.files import read_json

DIGITS = 16
"""Hexadecimal digits of a SHA-256 that are recorded."""
MAX_LISTED = 3


def training_pictures(data: Path, unlabelled: bool = True) -> set[str]:
    """The digests of all prepared pictures outside the test split, as they were before; those without labels only if `unlabelled`."""
    others = {"test"} if unlabelled else {"test", UNLABELLED}
    splits = [file.parent for file in data.glob("*/annotations.json") if file.parent.name not in others]
    return {sha256[:DIGITS] for split in splits for sha256 in original_digests(split).values()}


def leaked_pictures(data: Path, pictures: Collection[str]) -> list[str]:
    """The names of the test pictures whose digests are among the `pictures` that a model was trained on.

    A picture that the prepared `data` have both in the test split and in another one is not reported: `prepare_data` warns of it.
    """
    tested = original_digests(data / "test") if pictures else {}
    known = {image_id: sha256[:DIGITS] for image_id, sha256 in tested.items() if sha256[:DIGITS] in pictures}
    elsewhere = training_pictures(data) if known else set()
    leaked = {image_id for image_id, sha256 in known.items() if sha256 not in elsewhere}
    images = read_json(data / "test/annotations.json")["images"] if leaked else []
    return sorted(image["file_name"] for image in images if image["id"] in leaked)


def refuse_leakage(model: str, data: Path, pictures: Collection[str]) -> None:
    """Refuse a model that was trained on pictures of the test split.

    Raises:
        InputError: if it was.
    """
    if leaked := leaked_pictures(data, pictures):
        remedy = "keep these pictures in the split that they were in, or start from other weights"
        raise InputError(model, f"was trained on {describe_pictures(leaked)}", remedy)


def describe_pictures(names: list[str]) -> str:
    """Their number and the first names, in words."""
    more = ", ..." if len(names) > MAX_LISTED else ""
    return f"{len(names)} of the test pictures ({', '.join(names[:MAX_LISTED])}{more})"
