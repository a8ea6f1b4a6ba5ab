"""The pictures of a dataset in YOLO layout, and their label files."""

import re
from pathlib import Path
from typing import NamedTuple

from components.prepare_data.layouts.files import FileIndex, normalize_name, read_lines, split_suffix
from kd.data.letterbox import EXTENSIONS
from kd.errors import InputError


class LabelFile(NamedTuple):
    """The label file of a picture.

    Attributes:
        picture: the picture.
        path: the label file, or the path where Ultralytics reads it if it is missing.
        exists: whether there is a label file.
        beside: whether the label file is beside the picture, although Ultralytics reads it elsewhere.
    """

    picture: Path
    path: Path
    exists: bool
    beside: bool


class YoloFiles:
    """The files of a dataset in YOLO layout; names are paths relative to its folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root, self.index = root, FileIndex(root, root, EXTENSIONS)
        self._texts = {name[:-4]: file for name, file in self.index.files.items() if name.lower().endswith(".txt")}
        self._normalized = {normalize_name(name): file for name, file in self._texts.items()}

    def label_files(self, folder: Path) -> list[LabelFile]:
        """The label files of the pictures below `folder`.

        Raises:
            InputError: if a picture has two label files that differ, or a label file has no picture.
        """
        start = "" if folder == self.root else f"{folder.relative_to(self.root).as_posix()}/"
        names = [name for name in self.index.files if name.startswith(start)]
        pictures = [name for name in names if split_suffix(name)[1] in EXTENSIONS]
        self._check_texts(folder, start, {key for name in pictures for key in (split_suffix(name)[0], name)})
        return [self.label_file(name) for name in pictures]

    def _check_texts(self, folder: Path, start: str, pictures: set[str]) -> None:
        """Raise `InputError` for a label file without a picture; text files beside pictures may be something else."""
        expected = {normalize_name(name) for picture in pictures for name in (picture, _mirror(picture))}
        mirrored = _mirror(start)
        prefix = normalize_name(mirrored)
        for name, file in self._texts.items():
            normalized = normalize_name(name)
            is_label = mirrored != start and normalized.startswith(prefix) and file.name != "classes.txt"
            if normalized not in expected and (is_label or (name.startswith(start) and _contains_boxes(file))):
                stem = start + name[len(mirrored) :] if is_label else name
                raise InputError(file, *self._without_picture(stem, folder))

    def label_file(self, name: str) -> LabelFile:
        """The label file of a picture, also if it is called like `0001.jpg.txt`; `InputError` if there are two that differ."""
        stem = split_suffix(name)[0]
        mirrored = _mirror(stem)
        expected, beside = (self._find_text(text) or self._find_text(whole) for text, whole in ((mirrored, _mirror(name)), (stem, name)))
        if expected and beside and expected != beside and _stripped(expected) != _stripped(beside):
            raise InputError(beside, f"and {expected} are different labels of one picture", "remove one of them")
        file = expected or beside
        return LabelFile(self.index.files[name], file or self.root / f"{mirrored}.txt", bool(file), bool(file) and not expected)

    def _find_text(self, name: str) -> Path | None:
        return self._texts.get(name) or self._normalized.get(normalize_name(name))

    def _without_picture(self, stem: str, folder: Path) -> tuple[str, str]:
        """The problem and the remedy of a label file without a picture."""
        for name, file in self.index.files.items():
            if name.startswith(f"{stem}.") and split_suffix(name)[1] != ".txt":
                return f"has no picture, but {file.name}", f"convert {file.name} to one of {', '.join(EXTENSIONS)}"
        return "has no picture", f"add the picture in {folder} or remove the label file"


def _mirror(name: str) -> str:
    """`name` with the last folder `images`, in any letter case, replaced by `labels`."""
    found = re.fullmatch("(.*/)?images(/.*)", name, re.IGNORECASE | re.DOTALL)
    return f"{found[1] or ''}labels{found[2]}" if found else name


def _contains_boxes(file: Path) -> bool:
    """Whether the first line has at least five fields, and all but the first are numbers."""
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        fields = stream.readline(1000).split()
    return len(fields) >= 5 and all(text.lstrip("-").replace(".", "", 1).isdigit() for text in fields[1:])


def _stripped(file: Path) -> list[list[str]]:
    return [line.split() for line in read_lines(file)]
