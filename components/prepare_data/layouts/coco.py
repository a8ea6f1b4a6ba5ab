"""COCO detection JSON: one folder per split (kdflow, Roboflow), an `annotations` folder (COCO), or a single file."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from components.prepare_data.layouts.dataset import RawDataset, check_class_names, parse_split, safe_join
from components.prepare_data.layouts.json_object import JsonObject
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError
from kd.files import read_json

T = TypeVar("T")

FILE_NAMES = ("annotations.json", "_annotations.coco.json")


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

    Raises:
        InputError: with the file and the field that is missing, duplicate, unknown or of the wrong type.
    """
    found = _find_splits(folder)
    contents = [JsonObject(split.file, "", read_json(split.file)) for split in found]
    categories = contents[0].objects("categories")
    classes = check_class_names(found[0].file, "categories", [category.string("name") for category in categories])
    splits: dict[str, list[LabeledPicture]] = {}
    for split, content in zip(found, contents, strict=True):
        if split.name in splits:
            raise InputError(split.file, f"is a second {split.name} split", "keep one of them in the folder")
        splits[split.name] = _read_split(split, content, classes)
    return _drop_parents(RawDataset(classes, splits), categories)


def _find_splits(folder: Path) -> list[Split]:
    """The splits in the order train, val, test; a single file is `train`."""
    found = [*_in_split_folders(folder), *_in_annotations_folder(folder)] or _single_file(folder)
    return sorted(found, key=lambda split: ("train", "val", "test").index(split.name))


def _in_split_folders(folder: Path) -> list[Split]:
    return [
        Split(name, subfolder / file_name, _pictures(subfolder))
        for subfolder in sorted(folder.iterdir())
        for file_name in FILE_NAMES
        if (name := parse_split(subfolder.name)) and (subfolder / file_name).is_file()
    ]


def _in_annotations_folder(folder: Path) -> list[Split]:
    splits = []
    for file in sorted((folder / "annotations").glob("instances_*.json")):
        suffix = file.stem.removeprefix("instances_")
        name = parse_split(suffix)
        if name:
            candidates = [folder / suffix, folder / "images" / suffix, folder / "images"]
            splits.append(Split(name, file, next((path for path in candidates if path.is_dir()), folder)))
    return splits


def _single_file(folder: Path) -> list[Split]:
    return [Split("train", folder / name, _pictures(folder)) for name in FILE_NAMES if (folder / name).is_file()]


def _pictures(folder: Path) -> Path:
    return folder / "images" if (folder / "images").is_dir() else folder


def _read_split(split: Split, content: JsonObject, classes: list[str]) -> list[LabeledPicture]:
    labels = _read_categories(content, classes)
    pictures = _read_images(split, content)
    seen: set[int] = set()
    for entry in content.objects("annotations"):
        annotation_id = _unique_id(entry, seen)
        picture = _look_up(pictures, entry, "image_id")
        label = _look_up(labels, entry, "category_id")
        x, y, w, h = entry.numbers("bbox", 4)
        picture.boxes.append(Box(label, x, y, w, h, entry.flag("iscrowd"), f"annotation {annotation_id}"))
    return list(pictures.values())


def _look_up(table: dict[int, T], entry: JsonObject, key: str) -> T:
    value = entry.integer(key)
    if value not in table:
        raise InputError(entry.file, f"{entry.name}.{key} is {value}, but no entry has this id", "correct it or add the entry")
    return table[value]


def _read_categories(content: JsonObject, classes: list[str]) -> dict[int, int]:
    """A mapping from category ids in this file to indices in `classes`."""
    entries = content.objects("categories")
    check_class_names(content.file, "categories", [entry.string("name") for entry in entries])
    seen: set[int] = set()
    labels = {}
    for entry in entries:
        name = entry.string("name")
        if name not in classes:
            raise InputError(content.file, f"{entry.name}.name '{name}' is not in the first split", "use the same categories in all splits")
        labels[_unique_id(entry, seen)] = classes.index(name)
    return labels


def _read_images(split: Split, content: JsonObject) -> dict[int, LabeledPicture]:
    pictures: dict[int, LabeledPicture] = {}
    seen: set[int] = set()
    paths: set[Path] = set()
    for entry in content.objects("images"):
        image_id = _unique_id(entry, seen)
        name = entry.string("file_name")
        path = safe_join(split.pictures, name, split.file, f"{entry.name}.file_name")
        if path in paths:
            raise InputError(split.file, f"{entry.name}.file_name '{name}' occurs twice", "keep one image entry per file")
        paths.add(path)
        pictures[image_id] = LabeledPicture(path, entry.size("width"), entry.size("height"), [], split.file)
    return pictures


def _unique_id(entry: JsonObject, seen: set[int]) -> int:
    value = entry.integer("id")
    if value in seen:
        raise InputError(entry.file, f"{entry.name}.id {value} occurs twice", "give every entry a unique id")
    seen.add(value)
    return value


def _drop_parents(dataset: RawDataset, categories: list[JsonObject]) -> RawDataset:
    """Drop categories without boxes that are the supercategory of others; Roboflow adds one to its exports."""
    parents = [c.values.get("supercategory") for c in categories if c.values.get("supercategory") != c.values["name"]]
    used = {box.label for pictures in dataset.splits.values() for picture in pictures for box in picture.boxes}
    kept = [label for label, name in enumerate(dataset.classes) if label in used or name not in parents]
    if len(kept) == len(dataset.classes):
        return dataset
    for pictures in dataset.splits.values():
        for picture in pictures:
            picture.boxes[:] = [replace(box, label=kept.index(box.label)) for box in picture.boxes]
    classes = [dataset.classes[label] for label in kept]
    dropped = [f"category '{name}' has no box and only groups others; dropped" for name in dataset.classes if name not in classes]
    return RawDataset(classes, dataset.splits, dropped)
