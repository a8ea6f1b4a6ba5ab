"""The XML file of a picture in PASCAL VOC layout."""

from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError, fromstring

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import fromstring as defused_fromstring  # type: ignore[import-untyped]

from components.prepare_data.layouts.checks import surround
from components.prepare_data.layouts.dataset import MAX_NUMBER, shorten
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError


class Annotation(NamedTuple):
    """The content of an XML file: the picture, still without boxes, the objects, and what was left out."""

    picture: LabeledPicture
    objects: list[tuple[str, Box]]
    difficult: int
    without_box: list[str]


def parse_xml(file: Path) -> Element:
    """The root of an XML file; `InputError` if it cannot be read, is not XML, or declares entities, which could be attacks."""
    try:
        content = file.read_bytes()
        # only a DOCTYPE declares entities, in ASCII or in UTF-16; defusedxml refuses them, but takes several times as long
        parse = defused_fromstring if b"<!DOCTYPE" in content or b"\0" in content else fromstring
        root: Element = parse(content)
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", "replace the file") from None
    except DefusedXmlException as error:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        line = next((number for number, text in enumerate(lines, 1) if "<!ENTITY" in text), 1)
        raise InputError(file, f"line {line} declares an XML entity ({type(error).__name__})", "remove the declaration") from None
    except (ParseError, ValueError, LookupError) as error:
        raise InputError(file, f"is not XML: {error}", "correct that line") from None
    return root


def read_annotation(file: Path, root: Element, path: Path) -> Annotation:
    """Read the annotation of the picture `path` from `root`, the content of `file`.

    Raises:
        InputError: with the field that is missing or not a number.
    """
    width, height = (int(_number(file, root, f"size/{side}")) if _text(root, f"size/{side}") else 0 for side in ("width", "height"))
    known = width > 0 and height > 0
    picture = LabeledPicture(path, width if known else 0, height if known else 0, [], file)
    elements = list(enumerate(root.findall("object"), 1))
    kept = [(f"object {index}", element) for index, element in elements if _text(element, "difficult") != "1"]
    objects = [(_required(file, element, "name", f"{name}: "), _box(file, element, name)) for name, element in kept]
    without_box = [f"{file.name}, {name}" for (name, _), (_, box) in zip(kept, objects, strict=True) if not box]
    return Annotation(picture, [(name, box) for name, box in objects if box], len(elements) - len(kept), without_box)


def _box(file: Path, element: Element, name: str) -> Box | None:
    """The box of an object, or around its polygon; VOC counts pixels from 1 and includes the last one."""
    if element.find("bndbox/*") is not None:
        left, top, right, bottom = (_number(file, element, f"bndbox/{side}", f"{name}: ") for side in ("xmin", "ymin", "xmax", "ymax"))
        return Box(0, left - 1, top - 1, right - left + 1, bottom - top + 1, name=name)
    points = [(point.tag[:1], point.text) for point in element.iterfind("polygon//*")]
    x, y = ([_parse_number(file, f"{name}: polygon", text) for axis, text in points if axis == wanted] for wanted in "xy")
    if not x or len(x) != len(y):
        return None
    left, top, width, height = surround(x, y)
    return Box(0, left - 1, top - 1, width + 1, height + 1, name=name)


def _text(element: Element, field: str) -> str:
    return (element.findtext(field) or "").strip()


def _required(file: Path, element: Element, field: str, prefix: str = "") -> str:
    text = _text(element, field)
    if not text:
        raise InputError(file, f"{prefix}{field} is missing or empty", "add it")
    return text


def _number(file: Path, element: Element, field: str, prefix: str = "") -> float:
    return _parse_number(file, f"{prefix}{field}", _required(file, element, field, prefix))


def _parse_number(file: Path, field: str, text: str | None) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = float("nan")
    if not abs(number) <= MAX_NUMBER:  # not `>`, because comparisons with NaN are false
        raise InputError(file, f"{field} is {shorten(text)}, not a finite number", "correct it")
    return number
