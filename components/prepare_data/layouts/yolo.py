"""YOLO text labels: `data.yaml`, `images/<split>` or `<split>/images`, and a text file per picture under `labels`."""

from pathlib import Path
from typing import Any

import yaml

from components.prepare_data.layouts.pictures import FORMATS, shown_size
from components.prepare_data.layouts.source import RawDataset, checked_classes, inside, split_of, text_lines
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError
from kd.progress import track

SPLIT_KEYS = ("train", "val", "valid", "test")


def recognizes(folder: Path) -> bool:
    """Whether `folder` holds this layout."""
    return (folder / "data.yaml").is_file()


def read(folder: Path) -> RawDataset:
    """Read a YOLO data set; classes are `names` of `data.yaml` in their order.

    A picture without a label file has no boxes, as everywhere with this layout; a label file without a picture is an error.

    Raises:
        InputError: naming file and field or line of whatever is missing, unknown or of a wrong type.
    """
    file = folder / "data.yaml"
    content = _read_yaml(file)
    classes = _classes(file, content.get("names"))
    base = _base(folder, content.get("path"))
    splits: dict[str, list[LabeledPicture]] = {}
    for key, value in _split_values(base, content).items():
        paths = sorted(path for name in _names(file, key, value) for path in _pictures(file, key, base, name))
        read_paths = track(paths, f"read labels of {key}", len(paths), "files")
        splits.setdefault(split_of(key) or key, []).extend(_read_picture(path, folder, len(classes)) for path in read_paths)
    return RawDataset(classes, splits)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load("\n".join(text_lines(file)))
    except yaml.YAMLError as error:
        raise InputError(file, f"is not YAML: {' '.join(str(error).split())}", "mend that line") from None
    if not isinstance(content, dict):
        raise InputError(file, "has no 'names'", "write `names:` and the class names there")
    return content


def _classes(file: Path, names: object) -> list[str]:
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise InputError(file, f"names has the keys {list(names)}", "number the classes 0, 1, 2, ...")
        names = [names[label] for label in range(len(names))]
    if not isinstance(names, list):
        raise InputError(file, f"names is {names!r}, not a list of class names", "write `names: [first, second]`")
    return checked_classes(file, "names", names)


def _base(folder: Path, path: object) -> Path:
    """Where the splits' paths start; an absolute `path` belongs to the machine that wrote it and is passed over."""
    if isinstance(path, str) and not Path(path).is_absolute() and ".." not in Path(path).parts and (folder / path).is_dir():
        return folder / path
    return folder


def _split_values(base: Path, content: dict[str, Any]) -> dict[str, Any]:
    """What `data.yaml` says of each split, or the folders found where it says nothing."""
    named = {key: content[key] for key in SPLIT_KEYS if content.get(key)}
    found = {key: f"images/{key}" for key in SPLIT_KEYS if (base / "images" / key).is_dir()}
    return named or found or {"train": "images"}


def _names(file: Path, key: str, value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    names = [name for name in values if isinstance(name, str)]
    if len(names) < len(values):
        raise InputError(file, f"{key} is {value!r}, not a path", "name the split's folder of pictures")
    return names


def _pictures(file: Path, key: str, base: Path, name: str) -> list[Path]:
    """The pictures of a folder, or those that a text file lists."""
    # Roboflow writes ../train/images for a folder that lies beside data.yaml
    place = inside(base, name.removeprefix("../"), file, key)
    if place.suffix == ".txt":
        return [inside(base, line.strip(), place, "the entry") for line in text_lines(place) if line.strip()]
    if not place.is_dir():
        raise InputError(file, f"{key} names the folder {place}, which is missing", "mend the path or add the folder")
    pictures = [path for path in place.rglob("*") if path.suffix.lower() in FORMATS]
    _refuse_orphans(place, pictures)
    return pictures


def _refuse_orphans(place: Path, pictures: list[Path]) -> None:
    known = {_label_file(picture) for picture in pictures}
    for labels in sorted(_label_file(place / "any").parent.rglob("*.txt")):
        if labels not in known and labels.name != "classes.txt":
            raise InputError(labels, "labels a picture that is missing", f"add the picture under {place} or remove the label file")


def _label_file(picture: Path) -> Path:
    """The same path with the last folder `images` turned into `labels`."""
    parts = list(picture.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _read_picture(path: Path, folder: Path, classes: int) -> LabeledPicture:
    labels = _label_file(path)
    width, height = shown_size(path)
    lines = text_lines(labels) if labels.is_file() else []
    boxes = [_box(labels, number, line, classes, width, height) for number, line in enumerate(lines, 1) if line.strip()]
    return LabeledPicture(path, width, height, boxes, labels)


def _box(file: Path, number: int, line: str, classes: int, width: int, height: int) -> Box:
    """A line `class cx cy w h`, the last four in shares of the picture."""
    try:
        label, cx, cy, w, h = (float(text) for text in line.split())
    except ValueError:
        raise InputError(file, f"line {number} is '{line.strip()[:60]}', not five numbers", "write `class cx cy w h`") from None
    if label not in range(classes):
        raise InputError(file, f"line {number} has the class {label:g}", f"data.yaml names the classes 0 to {classes - 1}")
    if not all(0 <= share <= 1 for share in (cx, cy, w, h)):
        raise InputError(file, f"line {number} has a number outside 0 to 1", "write cx cy w h in shares of the picture's width and height")
    return Box(int(label), (cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height, name=f"line {number}")
