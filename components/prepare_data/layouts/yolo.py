"""YOLO: `data.yaml`, pictures in `images/<split>` or `<split>/images`, and a text file per picture under `labels`."""

from pathlib import Path
from typing import Any

import yaml

from components.prepare_data.layouts.dataset import RawDataset, check_class_names, parse_split, read_lines, safe_join
from components.prepare_data.layouts.pictures import FORMATS, picture_size
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError
from kd.progress import track

SPLIT_KEYS = ("train", "val", "valid", "test")


def matches(folder: Path) -> bool:
    """Whether `folder` has this layout."""
    return (folder / "data.yaml").is_file()


def read(folder: Path) -> RawDataset:
    """Read a YOLO dataset; its classes are `names` of `data.yaml`, in their order.

    A picture without a label file has no boxes, as in Ultralytics; a label file without a picture is an error.

    Raises:
        InputError: with the file and the field or line that is missing, unknown or of the wrong type.
    """
    file = folder / "data.yaml"
    content = _read_yaml(file)
    classes = _read_classes(file, content.get("names"))
    base = _base_folder(folder, content.get("path"))
    splits: dict[str, list[LabeledPicture]] = {}
    for key, value in _split_entries(base, content).items():
        paths = sorted(path for name in _check_paths(file, key, value) for path in _find_pictures(file, key, base, name))
        tracked = track(paths, f"read labels of {key}", len(paths), "files")
        splits.setdefault(parse_split(key) or key, []).extend(_read_picture(path, len(classes)) for path in tracked)
    return RawDataset(classes, splits)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load("\n".join(read_lines(file)))
    except yaml.YAMLError as error:
        raise InputError(file, f"is not YAML: {' '.join(str(error).split())}", "correct that line") from None
    if not isinstance(content, dict):
        raise InputError(file, "has no 'names'", "add `names:` with the class names")
    return content


def _read_classes(file: Path, names: object) -> list[str]:
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise InputError(file, f"names has the keys {list(names)}", "number the classes 0, 1, 2, ...")
        names = [names[label] for label in range(len(names))]
    if not isinstance(names, list):
        raise InputError(file, f"names is {names!r}, not a list of class names", "write `names: [first, second]`")
    return check_class_names(file, "names", names)


def _base_folder(folder: Path, path: object) -> Path:
    """The folder that the splits' paths are relative to; an absolute `path` is ignored, because it is of another machine."""
    if isinstance(path, str) and not Path(path).is_absolute() and ".." not in Path(path).parts and (folder / path).is_dir():
        return folder / path
    return folder


def _split_entries(base: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The splits of `data.yaml`, or else the split folders that exist."""
    entries = {key: content[key] for key in SPLIT_KEYS if content.get(key)}
    folders = {key: f"images/{key}" for key in SPLIT_KEYS if (base / "images" / key).is_dir()}
    return entries or folders or {"train": "images"}


def _check_paths(file: Path, key: str, value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    paths = [path for path in values if isinstance(path, str)]
    if len(paths) < len(values):
        raise InputError(file, f"{key} is {value!r}, not a path", "write the path of the split's pictures")
    return paths


def _find_pictures(file: Path, key: str, base: Path, name: str) -> list[Path]:
    """The pictures in a folder, or those that a text file lists."""
    # Roboflow writes ../train/images for a folder next to data.yaml
    path = safe_join(base, name.removeprefix("../"), file, key)
    if path.suffix == ".txt":
        return [safe_join(base, line.strip(), path, "the entry") for line in read_lines(path) if line.strip()]
    if not path.is_dir():
        raise InputError(file, f"the folder {path} of {key} is missing", "correct the path or add the folder")
    pictures = [picture for picture in path.rglob("*") if picture.suffix.lower() in FORMATS]
    _check_label_files(path, pictures)
    return pictures


def _check_label_files(folder: Path, pictures: list[Path]) -> None:
    expected = {_label_file(picture) for picture in pictures}
    for file in sorted(_label_file(folder / "any").parent.rglob("*.txt")):
        if file not in expected and file.name != "classes.txt":
            raise InputError(file, "has no picture", f"add the picture in {folder} or remove the label file")


def _label_file(picture: Path) -> Path:
    """The path of the picture with the last folder `images` replaced by `labels`."""
    parts = list(picture.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _read_picture(path: Path, classes: int) -> LabeledPicture:
    file = _label_file(path)
    width, height = picture_size(path)
    lines = read_lines(file) if file.is_file() else []
    boxes = [_parse_box(file, number, line, classes, width, height) for number, line in enumerate(lines, 1) if line.strip()]
    return LabeledPicture(path, width, height, boxes, file)


def _parse_box(file: Path, number: int, line: str, classes: int, width: int, height: int) -> Box:
    """Parse a line `class cx cy w h`; the last four are fractions of the picture's width and height."""
    try:
        label, cx, cy, w, h = (float(text) for text in line.split())
    except ValueError:
        raise InputError(file, f"line {number} is '{line.strip()[:60]}', not five numbers", "write `class cx cy w h`") from None
    if label not in range(classes):
        raise InputError(file, f"line {number} has the class {label:g}", f"use the classes 0 to {classes - 1} of data.yaml")
    if not all(0 <= fraction <= 1 for fraction in (cx, cy, w, h)):
        raise InputError(file, f"line {number} has a number outside 0 to 1", "write fractions of the picture's width and height")
    return Box(int(label), (cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height, name=f"line {number}")
