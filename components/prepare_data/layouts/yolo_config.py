"""The file that describes a YOLO dataset: `data.yaml` (Ultralytics), `obj.data` (Darknet, CVAT), or a list of classes (Label Studio)."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.params.yaml_text import parse_yaml
from components.prepare_data.layouts.dataset import check_class_names, parse_split, shorten
from components.prepare_data.layouts.files import is_hidden, list_files, parse_text, path_exists, read_lines, read_text, split_path
from kd.data.letterbox import EXTENSIONS
from kd.errors import InputError

YAML_NAMES = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
CLASS_FILES = ("classes.txt", "obj.names", "labels/classes.txt", "images/classes.txt", "train/_darknet.labels")  # the last one of Roboflow


@dataclass(frozen=True)
class YoloConfig:
    """The description of a YOLO dataset.

    Attributes:
        file: the file that it was read from.
        classes: class names.
        base: folder that `paths` are relative to.
        paths: folders, or text files that list pictures, by their key in `file`.
        keypoint_values: how many numbers after a box are its key points; 0 if they are the corners of a polygon instead.
    """

    file: Path
    classes: list[str]
    base: Path
    paths: dict[str, list[str]]
    keypoint_values: int = 0


def find_config(folder: Path) -> Path | None:
    """The file that describes the YOLO dataset in `folder`; a list of classes counts only with label files."""
    for name in (*YAML_NAMES, "obj.data"):
        if (folder / name).is_file():
            return folder / name
    others = [file for suffix in ("yaml", "yml") for file in folder.glob(f"*.{suffix}") if not is_hidden(file.name) and _has_names(file)]
    if len(others) == 1:
        return others[0]
    classes = next((folder / name for name in CLASS_FILES if (folder / name).is_file()), None)
    return classes if classes and _has_labels(folder) else None


def read_config(folder: Path) -> YoloConfig:
    """Read the file that `find_config` finds in `folder`.

    Raises:
        InputError: if there is none, or with the field or line that is missing or of the wrong type.
    """
    file = find_config(folder)
    if not file:
        raise InputError(folder, f"contains none of {', '.join((*YAML_NAMES, 'obj.data', *CLASS_FILES))}", "add one of them")
    if file.name == "obj.data":
        return _read_darknet(folder, file)
    if file.suffix not in (".yaml", ".yml"):
        return YoloConfig(file, _read_names(file), folder, _find_split_folders(folder))
    if others := [name for name in YAML_NAMES if (folder / name).is_file() and name != file.name]:
        raise InputError(file, f"is beside {others[0]}", "keep one of them")
    content = _read_yaml(file)
    classes = _read_classes(file, content.get("names"))
    _check_count(file, "nc", content.get("nc"), classes)
    base = _base_folder(folder, file, content.get("path"))
    entries = {key: value for key, value in content.items() if isinstance(key, str) and parse_split(key) and value not in (None, "", [])}
    paths = {key: _check_paths(file, key, value) for key, value in entries.items()}
    return YoloConfig(file, classes, base, _check_train(file, paths) or _find_split_folders(base), _count_key_points(file, content))


def resolve_path(config: YoloConfig, key: str, name: str) -> Path | None:
    """The folder or text file that `name` gives; None if it is missing and `key` is not train.

    Roboflow writes ../train/images for a folder beside data.yaml, others a path on another machine: the longest end of the path
    that exists counts, but the folder `images` of all splits does not.

    Raises:
        InputError: if train is missing, or `name` is a path that could leave the dataset.
    """
    name = name.replace("\\", "/").removeprefix("../")
    parts = split_path(name, config.file, key) if name not in (".", "./") else [""]
    for start in range(len(parts)):
        path = config.base.joinpath(*parts[start:])
        if path_exists(path) and (start == 0 or parts[start:] != ["images"]):
            return path
    if parse_split(key) != "train":
        return None
    if Path(name).is_absolute():
        raise InputError(config.file, f"{key} {shorten(name)} is not a path inside the data folder", "use a relative path without '..'")
    kind = "list" if name.endswith(".txt") else "folder"
    raise InputError(config.file, f"the {kind} {config.base / name} of {key} is missing", f"correct the path or add the {kind}")


def _has_names(file: Path) -> bool:
    """Whether a file, such as coco128.yaml, has the keys of Ultralytics' description of a dataset."""
    text = file.read_text(encoding="utf-8-sig", errors="replace") if file.is_file() else ""
    return {"names", "train"} <= set(re.findall(r"^(\w+):", text, re.M))


def _has_labels(folder: Path) -> bool:
    files = list_files(folder, folder, (".txt", *EXTENSIONS))
    texts = {file for file in files if file.suffix.lower() == ".txt" and file.name != "classes.txt"}
    beside = any(file.with_suffix(".txt") in texts for file in files if file.suffix.lower() in EXTENSIONS)
    return beside or any("labels" in file.relative_to(folder).parts[:-1] for file in texts)


def _read_yaml(file: Path) -> dict[Any, Any]:
    content = parse_text(file, "YAML", parse_yaml)
    if not isinstance(content, dict):
        raise InputError(file, "has no 'names'", "add `names:` with the class names")
    return content


def _read_classes(file: Path, names: object) -> list[str]:
    if isinstance(names, dict):
        numbered = {int(key) if isinstance(key, str) and key.isdecimal() else key: name for key, name in names.items()}
        if sorted(numbered, key=str) != sorted(range(len(names)), key=str):
            raise InputError(file, f"names has the keys {shorten(list(names))}", "number the classes 0, 1, 2, ...")
        names = [numbered[label] for label in range(len(names))]
    if not isinstance(names, list):
        raise InputError(file, f"names is {shorten(names)}, not a list of class names", "write `names: [first, second]`")
    return check_class_names(file, "names", names)


def _check_count(file: Path, key: str, count: object, classes: list[str]) -> None:
    if count is not None and str(count) != str(len(classes)):
        remedy = "correct it, or the list of names"
        raise InputError(file, f"{key} is {shorten(count)}, but the number of class names is {len(classes)}", remedy)


def _count_key_points(file: Path, content: dict[Any, Any]) -> int:
    """The number of numbers of an object's key points in `kpt_shape: [points, 2 or 3]`; 0 if it is missing."""
    shape = content.get("kpt_shape")
    if shape is None:
        return 0
    if not isinstance(shape, list) or [type(size) for size in shape] != [int, int] or shape[0] < 1 or shape[1] not in (2, 3):
        raise InputError(file, f"kpt_shape is {shorten(shape)}, not [points, 2 or 3]", "correct or remove it")
    return int(shape[0] * shape[1])


def _base_folder(folder: Path, file: Path, path: object) -> Path:
    """The folder that the splits' paths are relative to; an absolute `path` is ignored, because it is of another machine."""
    if not isinstance(path, str | None):
        raise InputError(file, f"path is {shorten(path)}, not a folder", "correct or remove it")
    inside = isinstance(path, str) and not Path(path).is_absolute() and ".." not in Path(path).parts
    return folder / str(path) if inside and path_exists(folder / str(path)) and (folder / str(path)).is_dir() else folder


def _check_paths(file: Path, key: str, value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    paths = [path for path in values if isinstance(path, str)]
    if len(paths) < len(values):
        raise InputError(file, f"{key} is {shorten(value)}, not a path", "write the path of the split's pictures")
    return paths


def _check_train(file: Path, paths: dict[str, list[str]]) -> dict[str, list[str]]:
    if paths and not any(parse_split(key) == "train" for key in paths):
        raise InputError(file, f"has {' and '.join(paths)}, but no train", "add the path of the training pictures")
    return paths


def _read_darknet(folder: Path, file: Path) -> YoloConfig:
    """Read the lines `key = value` of obj.data; CVAT writes it."""
    values: dict[str, str] = {}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        key, equals, value = line.partition("=")
        if line.strip() and not equals:
            raise InputError(file, f"line {number} is {shorten(line)}, not `key = value`", "correct it")
        values[key.strip()] = value.strip()
    paths = {key: [value] for key, value in values.items() if parse_split(key) and value}
    config = YoloConfig(file, [], folder, _check_train(file, paths) or _find_split_folders(folder))
    names = resolve_path(config, "names", values.get("names") or "obj.names")
    if not names:
        raise InputError(file, f"names the file {shorten(values.get('names'))} for the class names, which is missing", "add it")
    classes = _read_names(names)
    _check_count(file, "classes", values.get("classes") or None, classes)
    return replace(config, classes=classes)


def _read_names(file: Path) -> list[str]:
    return check_class_names(file, "the list", read_lines(file))


def _find_split_folders(base: Path) -> dict[str, list[str]]:
    """The folders of the splits, by their names: images/train, train/images or train; or else all pictures as train."""
    images = _images(base)
    inside_images = {path.name: path for path in _split_folders(images)} if images else {}
    inside_splits = {path.name: inside for path in _split_folders(base) if (inside := _images(path))}
    plain = {} if images else {path.name: path for path in _split_folders(base)}
    found = inside_images or inside_splits or plain or {"train": images or base}
    return {name: [path.relative_to(base).as_posix()] for name, path in found.items()}


def _split_folders(parent: Path) -> list[Path]:
    return [path for path in sorted(parent.iterdir()) if parse_split(path.name) and path.is_dir()]


def _images(folder: Path) -> Path | None:
    """The subfolder `images`, in any letter case."""
    return next((path for path in sorted(folder.iterdir(), reverse=True) if path.name.lower() == "images" and path.is_dir()), None)
