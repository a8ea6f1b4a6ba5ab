"""The pictures that a model was trained on, by content, so that it is not scored on them later.

A model inherits the pictures of its initial weights and of its teacher.
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kd.data.dataset import UNLABELLED
from kd.errors import InputError
from kd.files import digest
from kd.threads import available_processors

DIGITS = 16
"""Hexadecimal digits of a SHA-256 that are recorded."""
MAX_LISTED = 3


def training_pictures(data: Path, unlabelled: bool = True) -> set[str]:
    """The digests of all prepared pictures outside the test split; those without labels only if `unlabelled`."""
    others = {"test"} if unlabelled else {"test", UNLABELLED}
    return {name for images in data.glob("*/images") if images.parent.name not in others for name in _digests(images)}


def leaked_pictures(data: Path, pictures: Collection[str]) -> list[str]:
    """The names of the test pictures whose digests are among the `pictures` that a model was trained on.

    A picture that the prepared `data` have both in the test split and in another one is not reported: `prepare_data` warns of it.
    """
    known = {name: file for name, file in _digests(data / "test/images").items() if name in pictures} if pictures else {}
    elsewhere = training_pictures(data) if known else set()  # the largest splits are read only if it matters
    return sorted(file.name for name, file in known.items() if name not in elsewhere)


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


def _digests(images: Path) -> dict[str, Path]:
    files = sorted(images.iterdir()) if images.is_dir() else []
    with ThreadPoolExecutor(available_processors()) as pool:
        return dict(zip(pool.map(lambda file: digest(file)[:DIGITS], files), files, strict=True))
