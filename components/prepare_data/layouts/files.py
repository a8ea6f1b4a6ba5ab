"""The files of a dataset: hidden files are left out, and names that differ in spelling are found."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from components.prepare_data.layouts.dataset import shorten
from kd.errors import InputError
from kd.files import walk_files

LFS_POINTER = "version https://git-lfs.github.com/spec/"
HIDDEN = ("__macosx", "thumbs.db", "desktop.ini")


def is_hidden(name: str) -> bool:
    """Whether a file or folder holds no data: it is written by macOS, Windows, Jupyter, git, an editor, or GDAL (`.aux.xml`)."""
    return name.startswith(".") or name.lower() in HIDDEN or name.lower().endswith(".aux.xml")


def list_files(folder: Path, root: Path, suffixes: Collection[str] = ()) -> list[Path]:
    """The files below `folder` that are not hidden, sorted; only those with one of the lower-case `suffixes` if there are any.

    Raises:
        InputError: if a link to a folder points outside `root` (see `walk_files`), or is a text file with the target of the link.
    """
    files = sorted(walk_files(folder, root, is_hidden), key=str)
    for file in files:
        if not file.suffix and file.stat().st_size < 255:
            _check_no_text_link(file)
    return [file for file in files if not suffixes or file.suffix.lower() in suffixes]


def _check_no_text_link(file: Path) -> None:
    """Raise `InputError` if `file` was a symbolic link to a folder; git for Windows and zip programs write links as text."""
    target = file.read_text(encoding="utf-8", errors="ignore").strip()
    if "/" in target and "\n" not in target and (file.parent / target).is_dir():
        remedy = "copy the folder to its place, or restore the link (`git config core.symlinks true`)"
        raise InputError(file, f"is a text file that names the folder {target}, a link that git or a zip program wrote as text", remedy)


def check_no_pointer(file: Path, start: str) -> None:
    """Raise `InputError` if a file with this `start` is what git LFS leaves in a clone without its content."""
    if start == LFS_POINTER:
        raise InputError(file, "is a pointer of git LFS, not the file itself", "run `git lfs pull`")


def path_exists(path: Path) -> bool:
    """Whether a file or folder exists; False for a name that is too long for the file system."""
    try:
        return path.exists()
    except OSError:
        return False


def read_text(file: Path) -> str:
    """The content of a text file.

    Raises:
        InputError: if it is missing, cannot be read, or is not UTF-8 (with or without a byte order mark).
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        check_no_pointer(file, text[: len(LFS_POINTER)])
        return text
    except FileNotFoundError:
        raise InputError(file, "is missing", "add it or correct its name") from None
    except UnicodeDecodeError as error:
        raise InputError(file, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", "replace it or correct its name") from None


def read_lines(file: Path) -> list[str]:
    """The lines of a text file without surrounding spaces, and without empty lines; see `read_text`."""
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]


def parse_text(file: Path, kind: str, parse: Callable[[str], Any]) -> Any:
    """What `parse` makes of the content of a JSON or YAML file; see also `read_text`.

    Raises:
        InputError: if it is empty, `parse` raises an error, or lists are nested too deeply, or integers too long, for Python.
    """
    text = read_text(file)
    if not text.strip():
        raise InputError(file, "is empty", "export the labels again")
    try:
        return parse(text)
    except RecursionError:
        raise InputError(file, f"is nested too deeply for {kind} labels", "export the labels again") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:  # PyYAML leaks the last three
        if "integer string conversion" in str(error):
            raise InputError(file, "contains an integer of thousands of digits", "correct it") from None
        raise InputError(file, f"is not {kind}: {' '.join(str(error).split())}", "correct that line") from None


def split_path(name: str, file: Path, field: str) -> list[str]:
    """The parts of a path in a label file, also of a Windows path, without drive, "." and the leading "/".

    Raises:
        InputError: if the path is empty or contains "..", so that it could leave the dataset.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if parts and parts[0][1:] == ":":
        del parts[0]
    if not name.strip() or not parts or "\0" in name or ".." in parts:
        raise InputError(file, f"{field} {shorten(name)} is not a path inside the data folder", "use a relative path without '..'")
    return parts


def split_suffix(name: str) -> tuple[str, str]:
    """A path without its suffix, and the suffix in lower case; like `Path.suffix`, but faster for many files."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, f".{suffix.lower()}") if dot and "/" not in suffix else (name, "")


def normalize_name(name: str) -> str:
    """`name` without differences in letter case and Unicode normalization: macOS and Windows treat such names as equal."""
    return unicodedata.normalize("NFC", name).casefold()


class FileIndex:
    """The files below `folder` with certain lower-case `suffixes`, found by names that may be spelled differently.

    The folder is listed when the first file is looked up. `root` is the dataset's folder, see `list_files`.

    Attributes:
        moved: names that were found in another folder than they give, with the file that was found.
    """

    def __init__(self, folder: Path, root: Path, suffixes: Collection[str]) -> None:
        self.folder, self._root, self._suffixes = folder, root, suffixes
        self.moved: list[str] = []

    @cached_property
    def files(self) -> dict[str, Path]:
        """All files, whatever their suffix, by their path relative to the folder."""
        start = len(str(self.folder / "a")) - 1
        return {str(file)[start:]: file for file in list_files(self.folder, self._root)}

    @property
    def matching(self) -> list[Path]:
        """The files with one of the suffixes."""
        return [file for file in self.files.values() if file.suffix.lower() in self._suffixes]

    def find(self, name: str, file: Path, field: str) -> Path | None:
        """The file that `name` gives, which is `field` in the label file `file`; None if there is none.

        The first of these that fits counts: the exact path; the longest end of the path, in other spelling or without or with
        another suffix; the name anywhere below the folder; the name with another suffix there.

        Raises:
            InputError: if several files fit equally well, or `name` is not a path inside the folder.
        """
        if name in self.files:
            return self.files[name]
        parts = split_path(name, file, field)
        for keys in self._keys(parts):
            for key in keys:
                if found := self._by_key.get(key):
                    return self._unique(found, name, parts, file, field)
        if name.startswith("/"):
            raise InputError(file, f"{field} {shorten(name)} is not a path inside the data folder", "use a relative path without '..'")
        return None

    def _keys(self, parts: list[str]) -> Iterable[list[tuple[str, str]]]:
        """Groups of keys of `_by_key`, the best match first."""
        ends = [normalize_name("/".join(parts[start:])) for start in range(len(parts))]
        stems = [stem if suffix in self._suffixes else end for end in ends for stem, suffix in [split_suffix(end)]]
        yield [("path", end) for end in ends]
        yield [("path stem", stem) for stem in stems]
        yield [("name", ends[-1]), ("stem", stems[-1])]

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], list[Path]]:
        index: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
        for name, file in self.files.items():
            path = normalize_name(name)
            stem, suffix = split_suffix(path)
            if suffix in self._suffixes:
                for key in (("path", path), ("path stem", stem), ("name", normalize_name(file.name)), ("stem", stem.rpartition("/")[2])):
                    index[key].append(file)
        return index

    def _unique(self, found: list[Path], name: str, parts: list[str], file: Path, field: str) -> Path:
        if len(found) > 1:
            first, second = (path.relative_to(self.folder) for path in found[:2])
            problem = f"{field} {shorten(name)} may be {first} or {second} in {self.folder}"
            raise InputError(file, problem, "give the path of the picture relative to this folder")
        other_machine = name.startswith("/") or "\\" in name
        if len(parts) > 1 and not other_machine and normalize_name(parts[-2]) != normalize_name(found[0].parent.name):
            self.moved.append(f"{name} -> {found[0].relative_to(self._root)}")
        return found[0]
