"""The dataset that every layout is read into, and checks that the readers share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.shared.boxes import LabeledPicture
from kd.errors import InputError

# limit of numbers in label files, so that sums and areas stay finite
MAX_NUMBER = 1e9


@dataclass(frozen=True)
class RawDataset:
    """A dataset before its preparation: class names, pictures by split, and messages about what the reader dropped."""

    classes: list[str]
    splits: dict[str, list[LabeledPicture]]
    dropped: list[str] = field(default_factory=list)


def parse_split(name: str) -> str | None:
    """`train`, `val` or `test` for a usual name of this split, such as `train2017` or `valid`; None for other names."""
    match = re.fullmatch(r"(train|val|test)(?:id|idation|ing)?(?:\d{4})?", name)
    return match and match[1]


def check_class_names(file: Path, field_name: str, names: Sequence[object]) -> list[str]:
    """Return `names` as a list of class names.

    Raises:
        InputError: if a name is not a string, is empty or occurs twice, or there are no names.
    """
    classes: list[str] = []
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise InputError(file, f"{field_name} contains {name!r}, which is not a class name", "write every class name as quoted text")
        if name in classes:
            raise InputError(file, f"{field_name} contains the class name '{name}' twice", "rename or merge one of them")
        classes.append(name)
    if not classes:
        raise InputError(file, f"{field_name} is empty", "add the class names")
    return classes


def safe_join(folder: Path, name: str, file: Path, field_name: str) -> Path:
    """Return `folder / name`. Symbolic links are not resolved, because DVC may link its cache into the folder.

    Raises:
        InputError: if `name` is empty, absolute or points outside the folder.
    """
    if not name.strip() or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(file, f"{field_name} {name!r} is not a path inside the data folder", "use a relative path without '..'")
    return folder / name


def read_lines(file: Path) -> list[str]:
    """The lines of a text file; `InputError` if it is missing or not UTF-8."""
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(file, "is missing", "add it or correct its name") from None
    except UnicodeDecodeError as error:
        raise InputError(file, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
