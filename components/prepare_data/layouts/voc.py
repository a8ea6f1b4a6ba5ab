"""PASCAL VOC: `Annotations/*.xml`, `JPEGImages/` and, if there are splits, `ImageSets/Main/*.txt`."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import parse  # type: ignore[import-untyped]

from components.prepare_data.layouts.dataset import MAX_NUMBER, RawDataset, check_class_names, read_lines, safe_join
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError
from kd.progress import track


class Annotation(NamedTuple):
    """The content of an XML file: the picture, still without boxes, class names and boxes, and the number of difficult objects."""

    picture: LabeledPicture
    objects: list[tuple[str, Box]]
    difficult: int


def matches(folder: Path) -> bool:
    """Whether `folder` has this layout."""
    return (folder / "Annotations").is_dir() and (folder / "JPEGImages").is_dir()


def read(folder: Path) -> RawDataset:
    """Read a VOC dataset; its classes are the names of the objects, sorted.

    Objects marked as `difficult` are dropped, because VOC neither trains nor evaluates on them.

    Raises:
        InputError: with the file and the field that is missing, not XML, or of the wrong type.
    """
    names = [(split, name) for split, listed in _read_splits(folder).items() for name in listed]
    annotations = [(split, _read_annotation(folder, name)) for split, name in track(names, "read labels", len(names), "files")]
    found = sorted({name for _, annotation in annotations for name, _ in annotation.objects})
    classes = check_class_names(folder / "Annotations", "the objects' name", found)
    splits: dict[str, list[LabeledPicture]] = {}
    for split, annotation in annotations:
        annotation.picture.boxes.extend(replace(box, label=classes.index(name)) for name, box in annotation.objects)
        splits.setdefault(split, []).append(annotation.picture)
    difficult = sum(annotation.difficult for _, annotation in annotations)
    return RawDataset(classes, splits, [f"{difficult} objects are marked as difficult; dropped"] if difficult else [])


def _read_splits(folder: Path) -> dict[str, list[str]]:
    """The names of the XML files in each split; without lists, all files are `train`."""
    files = (folder / "ImageSets" / "Main" / f"{split}.txt" for split in ("train", "val", "trainval", "test"))
    lists = {file.stem: _read_list(file) for file in files if file.is_file()}
    trainval = lists.pop("trainval", [])
    if trainval and "train" not in lists:
        val = set(lists.get("val", []))
        lists["train"] = [name for name in trainval if name not in val]
    return lists or {"train": sorted(file.stem for file in (folder / "Annotations").glob("*.xml"))}


def _read_list(file: Path) -> list[str]:
    names = [line.strip() for line in read_lines(file) if line.strip()]
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(file, f"lists '{name}' {count} times", "list every picture once")
        safe_join(file.parent, name, file, "the entry")
    return names


def _read_annotation(folder: Path, name: str) -> Annotation:
    file = folder / "Annotations" / f"{name}.xml"
    root = _parse(file)
    path = safe_join(folder / "JPEGImages", _text(file, root, "filename"), file, "filename")
    picture = LabeledPicture(path, int(_number(file, root, "size/width")), int(_number(file, root, "size/height")), [], file)
    elements = list(enumerate(root.findall("object"), 1))
    kept = [(index, element) for index, element in elements if (element.findtext("difficult") or "").strip() != "1"]
    objects = [(_text(file, element, "name", f"object {index}: "), _box(file, element, f"object {index}")) for index, element in kept]
    return Annotation(picture, objects, len(elements) - len(kept))


def _parse(file: Path) -> Element:
    try:
        root: Element = parse(file).getroot()
    except FileNotFoundError:
        raise InputError(file, "is missing", "add the file, or remove its name from ImageSets/Main") from None
    except DefusedXmlException as error:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        line = next((number for number, text in enumerate(lines, 1) if "<!ENTITY" in text), 1)
        raise InputError(file, f"line {line} declares an XML entity ({type(error).__name__})", "remove the declaration") from None
    except (ParseError, ValueError, LookupError) as error:
        raise InputError(file, f"is not XML: {error}", "correct that line") from None
    return root


def _box(file: Path, element: Element, name: str) -> Box:
    """The box of an object; VOC counts pixels from 1 and includes the last one."""
    left, top, right, bottom = (_number(file, element, f"bndbox/{side}", f"{name}: ") for side in ("xmin", "ymin", "xmax", "ymax"))
    return Box(0, left - 1, top - 1, right - left + 1, bottom - top + 1, name=name)


def _text(file: Path, element: Element, field: str, prefix: str = "") -> str:
    text = (element.findtext(field) or "").strip()
    if not text:
        raise InputError(file, f"{prefix}{field} is missing or empty", "add it")
    return text


def _number(file: Path, element: Element, field: str, prefix: str = "") -> float:
    text = _text(file, element, field, prefix)
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) <= MAX_NUMBER:  # not `>`, because comparisons with NaN are false
        raise InputError(file, f"{prefix}{field} is '{text}', not a finite number", "correct it")
    return number
