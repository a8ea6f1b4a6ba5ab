"""PASCAL VOC: `Annotations/*.xml`, `JPEGImages/` and, where there are splits, `ImageSets/Main/*.txt`."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import parse  # type: ignore[import-untyped]

from components.prepare_data.layouts.source import LARGEST, RawDataset, checked_classes, inside, text_lines
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError
from kd.progress import track


class Labels(NamedTuple):
    """One XML file: its picture without boxes, its objects by class name, and how many objects are difficult."""

    picture: LabeledPicture
    objects: list[tuple[str, Box]]
    difficult: int


def recognizes(folder: Path) -> bool:
    """Whether `folder` holds this layout."""
    return (folder / "Annotations").is_dir() and (folder / "JPEGImages").is_dir()


def read(folder: Path) -> RawDataset:
    """Read a VOC data set; its classes are the names found, sorted.

    Objects marked `difficult` are left out: VOC neither trains on them nor scores them.

    Raises:
        InputError: naming file and field of whatever is missing, not XML, or of a wrong type.
    """
    names = [(split, name) for split, listed in _splits(folder).items() for name in listed]
    parsed = [(split, _read_labels(folder, name)) for split, name in track(names, "read labels", len(names), "files")]
    found = sorted({name for _, labels in parsed for name, _ in labels.objects})
    classes = checked_classes(folder / "Annotations", "the objects' name", found)
    splits: dict[str, list[LabeledPicture]] = {}
    for split, labels in parsed:
        labels.picture.boxes.extend(replace(box, label=classes.index(name)) for name, box in labels.objects)
        splits.setdefault(split, []).append(labels.picture)
    difficult = sum(labels.difficult for _, labels in parsed)
    return RawDataset(classes, splits, [f"{difficult} objects are marked difficult; left out"] if difficult else [])


def _splits(folder: Path) -> dict[str, list[str]]:
    """The names listed for each split; every label file as `train` where there are no lists."""
    files = (folder / "ImageSets" / "Main" / f"{split}.txt" for split in ("train", "val", "trainval", "test"))
    lists = {file.stem: _listed(file) for file in files if file.is_file()}
    whole = lists.pop("trainval", [])
    if whole and "train" not in lists:
        held_out = set(lists.get("val", []))
        lists["train"] = [name for name in whole if name not in held_out]
    return lists or {"train": sorted(file.stem for file in (folder / "Annotations").glob("*.xml"))}


def _listed(file: Path) -> list[str]:
    names = [line.strip() for line in text_lines(file) if line.strip()]
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(file, f"lists '{name}' {count} times", "list every picture once")
        inside(file.parent, name, file, "the entry")
    return names


def _read_labels(folder: Path, name: str) -> Labels:
    file = folder / "Annotations" / f"{name}.xml"
    root = _parse(file)
    path = inside(folder / "JPEGImages", _text(file, root, "filename"), file, "filename")
    picture = LabeledPicture(path, int(_number(file, root, "size/width")), int(_number(file, root, "size/height")), [], file)
    elements = list(enumerate(root.findall("object"), 1))
    kept = [(index, element) for index, element in elements if (element.findtext("difficult") or "").strip() != "1"]
    objects = [(_text(file, element, "name", f"object {index}: "), _box(file, element, f"object {index}")) for index, element in kept]
    return Labels(picture, objects, len(elements) - len(kept))


def _parse(file: Path) -> Element:
    try:
        root: Element = parse(file).getroot()
    except FileNotFoundError:
        raise InputError(file, "is missing", "add the label file, or take its name from ImageSets/Main") from None
    except DefusedXmlException as error:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        line = next((number for number, text in enumerate(lines, 1) if "<!ENTITY" in text), 1)
        raise InputError(file, f"line {line} declares an XML entity ({type(error).__name__})", "remove the declaration") from None
    except (ParseError, ValueError, LookupError) as error:
        raise InputError(file, f"is not XML: {error}", "mend that line") from None
    return root


def _box(file: Path, element: Element, name: str) -> Box:
    """The object's box; VOC counts pixels from 1 and includes the last one."""
    left, top, right, bottom = (_number(file, element, f"bndbox/{side}", f"{name}: ") for side in ("xmin", "ymin", "xmax", "ymax"))
    return Box(0, left - 1, top - 1, right - left + 1, bottom - top + 1, name=name)


def _text(file: Path, element: Element, field: str, where: str = "") -> str:
    text = (element.findtext(field) or "").strip()
    if not text:
        raise InputError(file, f"{where}{field} is missing or empty", "add it")
    return text


def _number(file: Path, element: Element, field: str, where: str = "") -> float:
    text = _text(file, element, field, where)
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    # a comparison with NaN is false, so this also refuses NaN
    if not abs(number) <= LARGEST:
        raise InputError(file, f"{where}{field} is '{text}', not a finite number", "mend it")
    return number
