"""The dataset that every layout is read into, and checks that the readers share."""

import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.prepare_data.findings import Finding
from components.shared.boxes import LabeledPicture
from kd.errors import UNPRINTABLE, InputError
from kd.model.limits import MAX_CLASSES

SPLITS = ("train", "val", "test")
# limit of numbers in label files, so that sums and areas stay finite
MAX_NUMBER = 1e9
# boxes may extend beyond the picture by this much, in pixels or as a fraction of its longer side, because labels are rounded
TOLERANCE_PIXELS, TOLERANCE_FRACTION = 2.0, 0.01


@dataclass(frozen=True)
class RawDataset:
    """A dataset before its preparation.

    Attributes:
        classes: class names.
        splits: pictures by split. A picture that cannot be decoded may have the size 0x0 and no boxes.
        dropped: messages about what the reader dropped.
        findings: what is doubtful.
    """

    classes: list[str]
    splits: dict[str, list[LabeledPicture]]
    dropped: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def parse_split(name: str) -> str | None:
    """`train`, `val` or `test` for a usual name of this split, such as `train2017`, `valid` or `Validation`; None for other names.

    `default` is `train`: CVAT and Datumaro use it for pictures without a split.
    """
    match = re.fullmatch(r"(train|val|test)(?:id|idation|ing)?(?:\d{4})?", name.lower())
    return match[1] if match else {"default": "train"}.get(name.lower())


def tolerance(width: int, height: int) -> float:
    """How far a box may extend beyond its picture, in pixels."""
    return max(TOLERANCE_PIXELS, TOLERANCE_FRACTION * max(width, height))


def check_class_names(file: Path, field_name: str, names: Sequence[object]) -> list[str]:
    """Return `names` as a list of class names.

    Raises:
        InputError: if a name is not a string, is empty or occurs twice, or there are no names, or more than `MAX_CLASSES`.
    """
    if len(names) > MAX_CLASSES:
        raise InputError(file, f"{field_name} has {len(names):,} entries", f"use at most {MAX_CLASSES:,} classes")
    classes: list[str] = []
    for name in names:
        if not isinstance(name, str) or not name.strip() or not _is_unicode(name):
            problem = f"{field_name} contains {shorten(name)}, which is not a class name"
            raise InputError(file, problem, "write every class name as quoted text")
        if name in classes:
            raise InputError(file, f"{field_name} contains the class name '{name}' twice", "rename or merge one of them")
        classes.append(name)
    if not classes:
        raise InputError(file, f"{field_name} is empty", "add the class names")
    return classes


def check_class_names_printable(classes: Sequence[str], folder: Path) -> None:
    """Raise `InputError` for the first class name in the dataset `folder` with a control character, or one that turns text around."""
    for name in classes:
        if match := UNPRINTABLE.search(name):
            problem = f"the class name '{name}' contains the control character U+{ord(match[0]):04X}"
            raise InputError(folder, problem, "rename the class in the labels")


def shorten(value: object) -> str:
    """At most 60 characters of the `repr` of `value`."""
    short = reprlib.Repr()  # the whole `repr` of nested YAML aliases would not fit into memory
    short.maxstring = short.maxother = short.maxlong = 60
    text = short.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_unicode(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False
