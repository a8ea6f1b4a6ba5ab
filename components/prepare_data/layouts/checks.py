"""Checks that the readers share: missing pictures, and findings about labels."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from components.prepare_data.findings import Finding, find
from components.prepare_data.layouts.dataset import parse_split, shorten
from components.prepare_data.layouts.files import FileIndex, is_hidden
from components.shared.boxes import LabeledPicture
from kd.errors import InputError


def check_found(missing: Sequence[str], total: int, folder: Path, label_file: Path) -> None:
    """Raise `InputError` if some of the `total` pictures that `label_file` lists are missing in `folder`."""
    if len(missing) == total > 1:
        problem = f"lists {total} pictures, such as {shorten(missing[0])}, but none of them is in {folder}"
        raise InputError(label_file, problem, "put the pictures there, or correct data.path")
    if missing:
        more = f" (and {len(missing) - 1} more of {total} in {label_file})" if len(missing) > 1 else ""
        remedy = "add it, or remove its entry from the labels"
        raise InputError(folder / missing[0], f"the picture is missing, also with another suffix or spelling{more}", remedy)


def check_listed_once(paths: Iterable[Path], label_file: Path) -> None:
    """Raise `InputError` if `label_file` lists a file several times."""
    for path, count in Counter(paths).items():
        if count > 1:
            raise InputError(label_file, f"lists {path.name} {count} times", "list every picture once")


def find_empty_splits(splits: Mapping[str, Sequence[LabeledPicture]]) -> list[Finding]:
    """Splits for val and test that exist, but without pictures."""
    empty = [split for split, pictures in splits.items() if not pictures and split != "train"]
    return find("missing splits", empty, "splits have no pictures, so pictures are cut from train", "add pictures")


def find_similar_classes(classes: Sequence[str]) -> list[Finding]:
    """Classes whose names differ only in letter case, spaces, hyphens or underscores."""
    similar: dict[str, list[str]] = {}
    for name in classes:
        similar.setdefault(re.sub(r"[\s_-]+", "", name).casefold(), []).append(name)
    names = [f"'{name}'" for group in similar.values() if len(group) > 1 for name in group]
    problem = "classes have the name of another one, but for letter case or spaces"
    return find("similar classes", names, problem, "give them one name in the labels")


def find_other_folders(folder: Path, has_labels: Callable[[Path], object]) -> list[Finding]:
    """Folders with labels beside those of the splits, whose names are of no split."""
    subfolders = [sub for sub in sorted(folder.iterdir()) if sub.is_dir() and not is_hidden(sub.name) and not parse_split(sub.name)]
    names = [sub.name for sub in subfolders if has_labels(sub)]
    problem = "folders have labels, but not the name of a split; left out"
    return find("folders of no split", names, problem, "name them train, val or test, add them to one, or remove them")


def find_other_files(files: Iterable[Path], used: Collection[Path]) -> list[Finding]:
    """Those of the files with annotations that were not used."""
    names = [file.name for file in files if file not in used]
    problem = "files have annotations, but not the name of a split; left out"
    return find("files of no split", names, problem, "name them like train, val or test, add them to one, or remove them")


def find_unused_lists(files: Iterable[Path]) -> list[Finding]:
    """Those of the text files that are named like a split, such as train.txt, where the layout has no lists."""
    names = [file.name for file in sorted(files) if parse_split(file.stem) or file.stem.lower() == "trainval"]
    problem = "lists are at a place where this layout has none, so they did not split the pictures"
    return find("unused lists", names, problem, "move them to ImageSets/Main (VOC), or name them in data.yaml (YOLO)")


def find_moved(indexes: Iterable[FileIndex]) -> list[Finding]:
    """Pictures that are in another folder, or have another name, than the labels give."""
    moved = [name for index in indexes for name in index.moved]
    problem = "pictures were found under another folder or name than the labels give"
    return find("pictures under another name", moved, problem, "check that they are the right pictures, and correct the labels")


def find_unlisted(kind: str, listed: Iterable[Path], indexes: Iterable[FileIndex], labels: str) -> list[Finding]:
    """Files of `indexes`, which are of this kind, that `labels` do not list."""
    known = {_identity(path) for path in listed}
    names = [file.name for file in dict.fromkeys(file for index in indexes for file in index.matching) if _identity(file) not in known]
    return find(f"unlisted {kind}", names, f"{kind} are not in {labels}; left out", "label and list them, or remove them")


def find_without_box(skipped: Sequence[str]) -> list[Finding]:
    """Annotations that were skipped, because they have neither a box nor a polygon."""
    return find("annotations without a box", skipped, "annotations have neither a box nor a polygon; skipped", "draw a box, or remove them")


def bounding_box(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float, float, float]:
    """The box (left, top, width, height) around points."""
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _identity(path: Path) -> tuple[int, int]:
    """Equal for a link and its target."""
    found = path.stat()
    return found.st_dev, found.st_ino
