"""YOLO: a text file with boxes per picture, in a folder `labels` that mirrors the folder `images`, or beside the picture."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from components.prepare_data.findings import Finding, find
from components.prepare_data.layouts.checks import check_found, check_listed_once, find_moved, find_unlisted, find_unused_lists
from components.prepare_data.layouts.dataset import SPLITS, RawDataset, parse_split
from components.prepare_data.layouts.files import read_lines
from components.prepare_data.layouts.pictures import read_size
from components.prepare_data.layouts.yolo_config import YoloConfig, find_config, read_config, resolve_path
from components.prepare_data.layouts.yolo_files import LabelFile, YoloFiles
from components.prepare_data.layouts.yolo_lines import read_boxes
from components.shared.boxes import LabeledPicture
from kd.data.letterbox import EXTENSIONS
from kd.errors import InputError
from kd.progress import track

EXPECTED = "data.yaml, dataset.yaml, obj.data, or classes.txt with label files"


def matches(folder: Path) -> bool:
    """Whether `folder` has this layout."""
    return find_config(folder) is not None


def read(folder: Path) -> RawDataset:
    """Read a YOLO dataset; its classes are those of `data.yaml`, `obj.names` or `classes.txt`, in their order.

    A picture without a label file has no boxes, as in Ultralytics; a label file without a picture is an error.

    Raises:
        InputError: with the file and the field or line that is missing, unknown or of the wrong type.
    """
    config, files = read_config(folder), YoloFiles(folder)
    splits: dict[str, list[LabeledPicture]] = {}
    labels: list[LabelFile] = []
    missing: list[str] = []
    keys: dict[Path, str] = {}
    for key, names in sorted(config.paths.items(), key=lambda item: SPLITS.index(parse_split(item[0]) or "train")):
        paths = {name: resolve_path(config, key, name) for name in names}
        missing += [f"{key}: {name}" for name, path in paths.items() if not path]
        found = [label for path in paths.values() if path for label in _find_labels(config, key, path, files)]
        read_one = partial(_read_picture, classes=len(config.classes), keypoint_values=config.keypoint_values)
        _check_other_pictures(config, key, found, keys)
        keys |= {label.picture: key for label in found}
        if any(paths.values()):
            pictures = map(read_one, sorted(found))  # threads would only wait for each other
            splits.setdefault(parse_split(key) or key, []).extend(track(pictures, f"read labels of {key}", len(found)))
        labels += found
    unlisted = find_unlisted("pictures", [label.picture for label in labels], [files.index], config.file.name)
    findings = _find_problems(config, labels, missing) + find_moved([files.index]) + unlisted
    if config.file.suffix not in (".yaml", ".yml", ".data"):
        findings += find_unused_lists(folder.glob("*.txt"))
    return RawDataset(config.classes, splits, findings=findings)


def _find_labels(config: YoloConfig, key: str, path: Path, files: YoloFiles) -> list[LabelFile]:
    """The pictures in a folder, or those that a text file lists, with their label files."""
    if path.is_dir():
        labels = files.label_files(path)
    elif path.suffix.lower() in EXTENSIONS:
        raise InputError(config.file, f"{key} is the picture {path}", "give a folder, or a text file with a picture per line")
    else:
        names = read_lines(path)
        prefix = "" if config.base == files.root else f"{config.base.relative_to(files.root).as_posix()}/"
        pictures = [(name, files.index.find(name if name.startswith("/") else prefix + name, path, "the entry")) for name in names]
        check_found([name for name, picture in pictures if not picture], len(names), config.base, path)
        check_listed_once((picture for _, picture in pictures if picture), path)
        labels = [files.label_file(picture.relative_to(files.root).as_posix()) for _, picture in pictures if picture]
    if not labels and parse_split(key) == "train":
        raise InputError(path, "contains no pictures", f"add pictures, or correct `{key}` of {config.file.name}")
    if labels and not any(label.exists for label in labels):
        places = " and ".join(dict.fromkeys([str(labels[0].path), str(labels[0].picture.with_suffix(".txt"))]))
        count = f"{len(labels)} pictures" if len(labels) > 1 else "one picture"
        raise InputError(path, f"has {count} without any label file; looked for {places}", "put the label files there")
    return labels


def _check_other_pictures(config: YoloConfig, key: str, labels: Sequence[LabelFile], keys: Mapping[Path, str]) -> None:
    """Raise `InputError` if `key` has pictures that are also in another of `keys`, as with `val: images/train`."""
    shared = [label.picture for label in labels if label.picture in keys]
    if shared:
        problem = f"{key} and {keys[shared[0]]} have the same pictures ({len(shared)} of {len(labels)}, such as {shared[0].name})"
        raise InputError(config.file, problem, f"give each split pictures of its own; without `{key}`, they are cut from train")


def _read_picture(label: LabelFile, classes: int, keypoint_values: int) -> LabeledPicture:
    width, height = read_size(label.picture)
    boxes = read_boxes(label.path, classes, width, height, keypoint_values) if label.exists and width else []
    return LabeledPicture(label.picture, width, height, boxes, label.path)


def _find_problems(config: YoloConfig, labels: Sequence[LabelFile], missing: list[str]) -> list[Finding]:
    without = [label.picture.name for label in labels if not label.exists]
    beside = [label.path.name for label in labels if label.beside]
    pictures_of = Counter(label.path for label in labels if label.exists)
    shared = [f"{label.picture.name} with {label.path.name}" for label in labels if pictures_of[label.path] > 1]
    remedy = "add the forgotten label files, and an empty one for a picture without objects"
    cut = f"paths in {config.file.name} are missing, so these splits are cut from train"
    return [
        *find("pictures without labels", without, "pictures have no label file, so they count as background without objects", remedy),
        *find("labels beside pictures", beside, "label files beside their pictures were read", "move them to the folder labels"),
        *find("shared label files", shared, "pictures share their label file with another picture", "rename or remove one of the pictures"),
        *find("missing splits", missing, cut, "correct or remove them"),
    ]
