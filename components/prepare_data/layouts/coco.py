"""COCO detection JSON: one folder per split (Roboflow), an `annotations` folder (COCO, CVAT), or one file (Label Studio, FiftyOne)."""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple, TypeVar

from components.prepare_data.layouts.checks import (
    bounding_box,
    check_found,
    check_listed_once,
    find_moved,
    find_other_files,
    find_other_folders,
    find_unlisted,
    find_without_box,
)
from components.prepare_data.layouts.dataset import SPLITS, RawDataset, check_class_names, parse_split
from components.prepare_data.layouts.files import FileIndex, is_hidden
from components.prepare_data.layouts.json_object import JsonObject, read_json
from components.prepare_data.layouts.pictures import read_sizes
from components.shared.boxes import Box, LabeledPicture
from kd.data.letterbox import EXTENSIONS
from kd.errors import InputError

T = TypeVar("T")

EXPECTED = "annotations.json, _annotations.coco.json, annotations/instances_*.json, train.json, result.json or labels.json"
FILE_NAMES = ("annotations.json", "_annotations.coco.json")
EXPORT_NAMES = ("result.json", "labels.json")  # of Label Studio and FiftyOne; other programs use these names, too
OTHER_ANNOTATIONS = ("captions_", "image_info_", "panoptic_", "person_keypoints_", "stuff_")
PICTURE_FOLDERS = ("images", "data")
NO_BOX: tuple[object, ...] = ([], None, [0, 0, 0, 0])


class Split(NamedTuple):
    """A split's name, its annotation file, and the folder that its file names are relative to."""

    name: str
    file: Path
    pictures: Path


def matches(folder: Path) -> bool:
    """Whether `folder` has this layout."""
    return bool(_find_splits(folder))


def read(folder: Path) -> RawDataset:
    """Read a COCO dataset; its classes are the `categories` of the first file, in their order.

    An annotation without a box gets the box around its polygons; without polygons it is skipped. A category without boxes that
    only groups others, as Roboflow adds one, is dropped.

    Raises:
        InputError: with the file and the field that is missing, duplicate, unknown or of the wrong type.
    """
    found = _find_splits(folder)
    for name, count in Counter(split.name for split in found).items():
        if count > 1:
            first, second = [split.file for split in found if split.name == name][:2]
            raise InputError(second, f"is a second {name} split beside {first}", "keep one of them in the folder")
    contents = [read_json(split.file) for split in found]
    categories, parents = _drop_parents(contents)
    classes = check_class_names(found[0].file, "categories", [entry.string("name") for entry in categories[0]])
    indexes = {split.pictures: FileIndex(split.pictures, folder, EXTENSIONS) for split in found}
    splits: dict[str, list[LabeledPicture]] = {}
    skipped: list[str] = []
    for split, content, entries in zip(found, contents, categories, strict=True):
        pictures = _read_images(content, indexes[split.pictures])
        skipped += _read_annotations(content, pictures, _read_categories(content.file, entries, classes))
        splits[split.name] = read_sizes(list(pictures.values()))
    dropped = [f"category '{name}' has no box and only groups others; dropped" for name in parents]
    listed = [picture.path for pictures in splits.values() for picture in pictures]
    unlisted = find_unlisted("pictures", listed, indexes.values(), "the annotations")
    findings = find_without_box(skipped) + find_moved(indexes.values()) + unlisted
    findings += find_other_folders(folder, lambda sub: _in_folder("train", sub))
    findings += find_other_files(_annotation_files(folder), [split.file for split in found])
    return RawDataset(classes, splits, dropped, findings)


def _find_splits(folder: Path) -> list[Split]:
    """The splits in the order train, val, test; a single file is `train`."""
    in_folders = [split for sub in sorted(folder.iterdir()) if (name := parse_split(sub.name)) for split in _in_folder(name, sub)]
    found = [*in_folders, *_in_annotations_folder(folder)] or _in_folder("train", folder)
    return sorted(found, key=lambda split: SPLITS.index(split.name))


def _in_annotations_folder(folder: Path) -> list[Split]:
    splits = []
    for file in [*sorted((folder / "annotations").glob("*.json")), *filter(_starts_like_coco, sorted(folder.glob("*.json")))]:
        suffix = file.stem.removeprefix("instances_")
        name = parse_split(suffix)
        if name and not is_hidden(file.name):
            candidates = [folder / suffix, folder / "images" / suffix, *(folder / pictures for pictures in PICTURE_FOLDERS)]
            splits.append(Split(name, file, _first_folder(candidates, folder)))
    return splits


def _annotation_files(folder: Path) -> list[Path]:
    """The files in `folder` and its folder `annotations` that may have the boxes of a split; COCO's captions and others have none."""
    files = [file for parent in (folder / "annotations", folder) for file in sorted(parent.glob("*.json"))]
    return [f for f in files if not is_hidden(f.name) and not f.name.startswith(OTHER_ANNOTATIONS) and _starts_like_coco(f)]


def _in_folder(name: str, folder: Path) -> list[Split]:
    files = [folder / file_name for file_name in FILE_NAMES if (folder / file_name).is_file()]
    files = files or [folder / file_name for file_name in EXPORT_NAMES if _starts_like_coco(folder / file_name)]
    return [Split(name, file, _first_folder([folder / pictures for pictures in PICTURE_FOLDERS], folder)) for file in files]


def _starts_like_coco(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        return bool(re.match(r'\s*\{\s*"(info|licenses|images|annotations|categories)"', stream.read(200)))


def _first_folder(candidates: list[Path], default: Path) -> Path:
    return next((path for path in candidates if path.is_dir()), default)


def _drop_parents(contents: list[JsonObject]) -> tuple[list[list[JsonObject]], list[str]]:
    """The categories of each file without those that only group others, and the names of the latter.

    Roboflow adds a category with the project's name, which may be the name of a class, too. Such a category has no box in any
    file, and its name is the supercategory of others.
    """
    categories = [content.objects("categories") for content in contents]
    used = set()
    for content, entries in zip(contents, categories, strict=True):
        ids = {annotation.integer("category_id") for annotation in content.objects("annotations")}
        used |= {_key(entry) for entry in entries if entry.integer("id") in ids}
    parents: dict[str, None] = {}
    kept = []
    for entries in categories:
        groups = {id(entry) for entry in entries if _key(entry) not in used and _groups_others(entry, entries)}
        parents |= {entry.string("name"): None for entry in entries if id(entry) in groups}
        kept.append([entry for entry in entries if id(entry) not in groups])
    return kept, list(parents)


def _key(entry: JsonObject) -> tuple[str, str]:
    group = entry.get("supercategory")
    return entry.string("name"), group if isinstance(group, str) else ""


def _groups_others(entry: JsonObject, entries: list[JsonObject]) -> bool:
    name = entry.string("name")
    others = [other for other in entries if other is not entry]
    namesake_of_parent = entry.get("supercategory") == name and any(other.string("name") == name for other in others)
    return not namesake_of_parent and any(other.get("supercategory") == name for other in others)


def _read_categories(file: Path, entries: list[JsonObject], classes: list[str]) -> dict[int, int]:
    """A mapping from category ids in this file to indices in `classes`."""
    check_class_names(file, "categories", [entry.string("name") for entry in entries])
    seen: set[int] = set()
    labels = {}
    for entry in entries:
        name = entry.string("name")
        if name not in classes:
            raise InputError(file, f"{entry.name}.name '{name}' is not in the first split", "use the same categories in all splits")
        labels[_unique_id(entry, seen)] = classes.index(name)
    return labels


def _read_images(content: JsonObject, index: FileIndex) -> dict[int, LabeledPicture]:
    """The pictures of a split by their id, still without boxes."""
    pictures: dict[int, LabeledPicture] = {}
    seen: set[int] = set()
    missing: list[str] = []
    for entry in content.objects("images"):
        image_id = _unique_id(entry, seen)
        name = entry.string("file_name")
        width, height = entry.size("width"), entry.size("height")
        path = index.find(name, content.file, f"{entry.name}.file_name")
        if path:
            pictures[image_id] = LabeledPicture(path, width if height else 0, height if width else 0, [], content.file)
        else:
            missing.append(name)
    check_found(missing, len(seen), index.folder, content.file)
    check_listed_once((picture.path for picture in pictures.values()), content.file)
    return pictures


def _read_annotations(content: JsonObject, pictures: dict[int, LabeledPicture], labels: dict[int, int]) -> list[str]:
    """Add the boxes to their pictures; return the names of the annotations that have no box."""
    seen: set[int] = set()
    skipped = []
    for entry in content.objects("annotations"):
        name = f"annotation {_unique_id(entry, seen)}"
        picture = _look_up(pictures, entry, "image_id")
        label = _look_up(labels, entry, "category_id")
        has_box = entry.get("bbox") not in NO_BOX
        points = [] if has_box else [number for polygon in entry.polygons("segmentation") for number in polygon]
        if has_box or points:
            x, y, w, h = entry.numbers("bbox", 4) if has_box else bounding_box(points[::2], points[1::2])
            picture.boxes.append(Box(label, x, y, w, h, entry.flag("iscrowd"), name))
        else:
            skipped.append(f"{picture.path.name}, {name}")
    return skipped


def _look_up(table: dict[int, T], entry: JsonObject, key: str) -> T:
    value = entry.integer(key)
    if value not in table:
        raise InputError(entry.file, f"{entry.name}.{key} is {value}, but no entry has this id", "correct it or add the entry")
    return table[value]


def _unique_id(entry: JsonObject, seen: set[int]) -> int:
    value = entry.integer("id")
    if value in seen:
        raise InputError(entry.file, f"{entry.name}.id {value} occurs twice", "give every entry a unique id")
    seen.add(value)
    return value
