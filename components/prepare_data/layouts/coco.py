"""COCO detection JSON: per split as kdflow or Roboflow write it, as COCO publishes it, or one file unsplit."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from components.prepare_data.layouts.records import Record
from components.prepare_data.layouts.source import RawDataset, checked_classes, inside, split_of
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError
from kd.files import read_json

IN_SPLIT_FOLDER = ("annotations.json", "_annotations.coco.json")


class Part(NamedTuple):
    """A split, its annotation file, and the folder that its file names start from."""

    split: str
    file: Path
    pictures: Path


def recognizes(folder: Path) -> bool:
    """Whether `folder` holds annotation files of this layout."""
    return bool(_parts(folder))


def read(folder: Path) -> RawDataset:
    """Read a COCO data set; classes keep the order of the first file's `categories`.

    Raises:
        InputError: naming file and field of whatever is missing, of a wrong type, unknown or there twice.
    """
    parts = _parts(folder)
    contents = [Record(part.file, "", read_json(part.file)) for part in parts]
    categories = contents[0].records("categories")
    classes = checked_classes(parts[0].file, "categories", [category.text("name") for category in categories])
    splits: dict[str, list[LabeledPicture]] = {}
    for part, content in zip(parts, contents, strict=True):
        if part.split in splits:
            raise InputError(part.file, f"is a second {part.split} split", "keep one of them in the folder")
        splits[part.split] = _read_part(part, content, classes)
    return _without_parents(RawDataset(classes, splits), categories)


def _parts(folder: Path) -> list[Part]:
    """The splits in the order train, val, test; or the whole as `train`."""
    found = [*_split_folders(folder), *_published(folder)] or list(_unsplit(folder))
    return sorted(found, key=lambda part: ("train", "val", "test").index(part.split))


def _split_folders(folder: Path) -> list[Part]:
    parts = []
    for place in sorted(folder.iterdir()):
        for name in IN_SPLIT_FOLDER:
            split = split_of(place.name)
            if split and (place / name).is_file():
                parts.append(Part(split, place / name, _pictures(place)))
    return parts


def _published(folder: Path) -> list[Part]:
    parts = []
    for file in sorted((folder / "annotations").glob("instances_*.json")):
        name = file.stem.removeprefix("instances_")
        split = split_of(name)
        if split:
            places = [folder / name, folder / "images" / name, folder / "images"]
            parts.append(Part(split, file, next((place for place in places if place.is_dir()), folder)))
    return parts


def _unsplit(folder: Path) -> list[Part]:
    return [Part("train", folder / name, _pictures(folder)) for name in IN_SPLIT_FOLDER if (folder / name).is_file()]


def _pictures(folder: Path) -> Path:
    return folder / "images" if (folder / "images").is_dir() else folder


def _read_part(part: Part, content: Record, classes: list[str]) -> list[LabeledPicture]:
    labels = _read_labels(content, classes)
    pictures = _read_images(part, content)
    seen: set[int] = set()
    for record in content.records("annotations"):
        identity = _new_id(record, seen)
        picture = pictures.get(record.integer("image_id"))
        if picture is None:
            raise InputError(part.file, f"{record.name}.image_id {record.integer('image_id')} is no image's id", "mend it or add the image")
        label = labels.get(record.integer("category_id"))
        if label is None:
            raise InputError(part.file, f"{record.name}.category_id {record.integer('category_id')} is no category's id", "mend it")
        x, y, w, h = record.numbers("bbox", 4)
        picture.boxes.append(Box(label, x, y, w, h, record.flag("iscrowd"), f"annotation {identity}"))
    return list(pictures.values())


def _read_labels(content: Record, classes: list[str]) -> dict[int, int]:
    """From a category's id in this file to its place in `classes`."""
    records = content.records("categories")
    checked_classes(content.file, "categories", [record.text("name") for record in records])
    seen: set[int] = set()
    labels = {}
    for record in records:
        name = record.text("name")
        if name not in classes:
            raise InputError(content.file, f"{record.name}.name '{name}' is no category of the first split", "give all splits the same")
        labels[_new_id(record, seen)] = classes.index(name)
    return labels


def _read_images(part: Part, content: Record) -> dict[int, LabeledPicture]:
    pictures: dict[int, LabeledPicture] = {}
    seen: set[int] = set()
    paths: set[Path] = set()
    for record in content.records("images"):
        identity = _new_id(record, seen)
        name = record.text("file_name")
        path = inside(part.pictures, name, part.file, f"{record.name}.file_name")
        if path in paths:
            raise InputError(part.file, f"{record.name}.file_name '{name}' is there twice", "keep one image entry per file")
        paths.add(path)
        pictures[identity] = LabeledPicture(path, record.size("width"), record.size("height"), [], part.file)
    return pictures


def _new_id(record: Record, seen: set[int]) -> int:
    identity = record.integer("id")
    if identity in seen:
        raise InputError(record.file, f"{record.name}.id {identity} is there twice", "give every entry an id of its own")
    seen.add(identity)
    return identity


def _without_parents(source: RawDataset, categories: list[Record]) -> RawDataset:
    """Leave out categories that only group others, as Roboflow's exports list them: no box, and the parent of another."""
    parents = [c.values.get("supercategory") for c in categories if c.values.get("supercategory") != c.values["name"]]
    used = {box.label for pictures in source.splits.values() for picture in pictures for box in picture.boxes}
    kept = [label for label, name in enumerate(source.classes) if label in used or name not in parents]
    if len(kept) == len(source.classes):
        return source
    for pictures in source.splits.values():
        for picture in pictures:
            picture.boxes[:] = [replace(box, label=kept.index(box.label)) for box in picture.boxes]
    classes = [source.classes[label] for label in kept]
    dropped = [f"category '{name}' has no box and only groups others; left out" for name in source.classes if name not in classes]
    return RawDataset(classes, source.splits, dropped)
