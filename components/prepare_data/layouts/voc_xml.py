"""The XML file of a picture in PASCAL VOC layout."""

from pathlib import Path
from typing import NamedTuple, NoReturn
from xml.etree.ElementTree import Element, ParseError, fromstring

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import fromstring as defused_fromstring  # type: ignore[import-untyped]

from components.prepare_data.layouts.checks import bounding_box
from components.prepare_data.layouts.dataset import MAX_NUMBER, shorten
from components.prepare_data.layouts.files import LFS_POINTER, check_no_pointer
from components.shared.boxes import Box, LabeledPicture
from kd.errors import InputError

MAX_DEPTH = 20
DIFFICULT = {"": False, "0": False, "false": False, "unspecified": False, "1": True, "true": True}


class Annotation(NamedTuple):
    """The content of an XML file: the picture, still without boxes, the objects, and what was left out."""

    picture: LabeledPicture
    objects: list[tuple[str, Box]]
    difficult: int
    without_box: list[str]


class XmlElement(NamedTuple):
    """An element of an XML file; `name` is its location there, such as `object 3`.

    All methods raise `InputError` with the file and the field if the field is invalid.
    """

    file: Path
    name: str
    element: Element

    def text(self, field: str) -> str:
        """The text of a field; "" if it is missing."""
        parent, _, tag = field.rpartition("/")  # a path in findall() takes longer
        parents = self.element.findall(parent) if parent else [self.element]
        found = [child for element in parents for child in element.findall(tag)]
        if len(found) > 1:
            self._reject(f"{field} occurs {len(found)} times", "keep one of them")
        return (found[0].text or "").strip() if found else ""

    def required(self, field: str) -> str:
        """The text of a field that is not empty."""
        return self.text(field) or self._reject(f"{field} is missing or empty", "add it")

    def number(self, field: str) -> float:
        """A finite number."""
        return self.parse_number(field, self.required(field))

    def size(self, field: str) -> int:
        """A number of pixels; 0 if it is unknown, that is, missing, empty or 0."""
        number = self.number(field) if self.text(field) else 0
        if number < 0 or number != int(number):
            self._reject(f"{field} is {number:g}, not a number of pixels", "correct it")
        return int(number)

    def is_difficult(self) -> bool:
        """Whether an object is marked as difficult."""
        text = self.text("difficult")
        if text.lower() not in DIFFICULT:
            self._reject(f"difficult is {shorten(text)}, not 0 or 1", "correct it")
        return DIFFICULT[text.lower()]

    def parse_number(self, field: str, text: str | None) -> float:
        """`text`, the content of a field, as a finite number."""
        try:
            number = float(text or "")
        except ValueError:
            number = float("nan")
        if not abs(number) <= MAX_NUMBER:  # not `>`, because comparisons with NaN are false
            self._reject(f"{field} is {shorten(text)}, not a finite number", "correct it")
        return number

    def _reject(self, problem: str, remedy: str) -> NoReturn:
        raise InputError(self.file, f"{self.name}: {problem}" if self.name else problem, remedy)


def parse_xml(file: Path) -> XmlElement:
    """The root of an XML file.

    Raises:
        InputError: if it cannot be read, is not XML, declares entities, which could be attacks, or has another structure than VOC's.
    """
    try:
        content = file.read_bytes()
        if not content.strip():
            raise InputError(file, "is empty", "export the labels again, or remove it")
        check_no_pointer(file, content[: len(LFS_POINTER)].decode("latin-1"))
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
        remedy = "save it as UTF-8" if "encoding" in str(error) else "correct that line"
        raise InputError(file, f"is not XML: {error}", remedy) from None
    _check_structure(file, root)
    return XmlElement(file, "", root)


def _check_structure(file: Path, root: Element) -> None:
    if root.tag != "annotation":
        raise InputError(file, f"has the root <{shorten(root.tag)[1:-1]}>, not <annotation>", "export the labels as PASCAL VOC")
    elements, depth = [*root], 1
    while elements := [child for element in elements for child in element]:
        depth += 1
        if depth > MAX_DEPTH or any(element.tag in ("annotation", "object") for element in elements):
            problem = "has <object> or <annotation> inside another element" if depth <= MAX_DEPTH else "is nested too deeply"
            raise InputError(file, f"{problem}, so it is not in VOC layout", "export the labels as PASCAL VOC")


def read_annotation(root: XmlElement, path: Path) -> Annotation:
    """Read the annotation of the picture `path`.

    Raises:
        InputError: with the field that is missing or not a number.
    """
    width, height = root.size("size/width"), root.size("size/height")
    picture = LabeledPicture(path, width if height else 0, height if width else 0, [], root.file)
    elements = [XmlElement(root.file, f"object {index}", element) for index, element in enumerate(root.element.findall("object"), 1)]
    kept = [element for element in elements if not element.is_difficult()]
    objects = [(element.required("name"), _box(element)) for element in kept]
    without_box = [f"{root.file.name}, {element.name}" for element, (_, box) in zip(kept, objects, strict=True) if not box]
    return Annotation(picture, [(name, box) for name, box in objects if box], len(elements) - len(kept), without_box)


def _box(node: XmlElement) -> Box | None:
    """The box of an object, or around its polygon; VOC counts pixels from 1 and includes the last one."""
    if any(len(corners) for corners in node.element.findall("bndbox")):
        left, top, right, bottom = (node.number(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
        return Box(0, left - 1, top - 1, right - left + 1, bottom - top + 1, name=node.name)
    points = [(point.tag[:1], point.text) for point in node.element.iterfind("polygon//*")]
    x, y = ([node.parse_number("polygon", text) for axis, text in points if axis == wanted] for wanted in "xy")
    if not x or len(x) != len(y):
        return None
    left, top, width, height = bounding_box(x, y)
    return Box(0, left - 1, top - 1, width + 1, height + 1, name=node.name)
