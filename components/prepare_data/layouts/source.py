"""What every layout is read into: classes, and pictures with boxes in one to three splits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.shared.boxes import LabeledPicture
from kd.errors import InputError

# no length in pixels is larger; a bound keeps sums and areas finite
LARGEST = 1e9


@dataclass(frozen=True)
class RawDataset:
    """A user's data set: class names in their order, pictures by split, and lines on what the reader left out."""

    classes: list[str]
    splits: dict[str, list[LabeledPicture]]
    dropped: list[str] = field(default_factory=list)


def split_of(name: str) -> str | None:
    """`train`, `val` or `test` for a split's usual names, such as `train2017` or `valid`; None for any other name."""
    match = re.fullmatch(r"(train|val|test)(?:id|idation|ing)?(?:\d{4})?", name)
    return match and match[1]


def checked_classes(file: Path, field_name: str, names: Sequence[object]) -> list[str]:
    """`names` as a list of class names.

    Raises:
        InputError: a name is no text, empty, or there twice; or there is no name.
    """
    classes: list[str] = []
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise InputError(file, f"{field_name} has the class name {name!r}, which is no text", "give every class a name in quotes")
        if name in classes:
            raise InputError(file, f"{field_name} has the class name '{name}' twice", "rename or merge one of them")
        classes.append(name)
    if not classes:
        raise InputError(file, f"{field_name} is empty", "name the classes there")
    return classes


def inside(folder: Path, name: str, file: Path, field_name: str) -> Path:
    """The path of `name` in `folder`; links are left alone, because DVC may link its cache into the folder.

    Raises:
        InputError: `name` is empty, absolute or climbs out of the folder.
    """
    if not name.strip() or "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(file, f"{field_name} {name!r} leaves the data folder", "name a file inside it, relative to it")
    return folder / name


def text_lines(file: Path) -> list[str]:
    """The lines of a text file; `InputError` where it is missing or is not UTF-8."""
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(file, "is missing", "add it or mend its name") from None
    except UnicodeDecodeError as error:
        raise InputError(file, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
