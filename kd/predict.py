"""Detect objects in picture files, and draw the detections."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from kd.data.draw import draw
from kd.data.letterbox import EXTENSIONS
from kd.data.pictures import read_picture
from kd.detection.decode import Detections
from kd.detection.evaluate import NMSConfig
from kd.detection.scores import to_coco_results
from kd.errors import InputError
from kd.files import atomic_file
from kd.sources import PictureDetector

IGNORED = ("__MACOSX", "Thumbs.db")
DRAWN_AS = {".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP"}
"""Formats of the drawn pictures; others are drawn as PNG, with .png appended to the name."""


@dataclass(frozen=True)
class PictureFile:
    """A picture to detect objects in: its file, the file to draw to, and its name below the folder that was given."""

    source: Path
    target: Path
    name: str


def find_pictures(paths: list[Path], out: Path) -> list[PictureFile]:
    """The pictures among files and, recursively, in folders, sorted within a folder. `out` is not searched.

    Raises:
        InputError: if a path is missing or contains no picture, or a result would overwrite an input or another result.
    """
    files = [PictureFile(source, out / _drawn_name(name), name) for path in paths for source, name in _pictures(path, out)]
    inputs = {file.source.resolve() for file in files}
    drawn: dict[Path, Path] = {}
    for file in files:
        if file.target.resolve() in inputs:
            raise InputError(file.source, f"would be overwritten by a result in {out}", "choose another --out")
        if drawn.setdefault(file.target, file.source) != file.source:
            raise InputError(file.target, f"would be written for both {drawn[file.target]} and {file.source}", "give their common folder")
    return files


def predict(detector: PictureDetector, files: list[PictureFile], nms: NMSConfig) -> Iterator[tuple[PictureFile, Detections | InputError]]:
    """Detect and draw, in the order of `files`; yields the error of a picture that cannot be decoded, and goes on."""
    for start in range(0, len(files), detector.batch):
        chunk = files[start : start + detector.batch]
        images = [_read(file.source) for file in chunk]
        readable = [image for image in images if isinstance(image, Image.Image)]
        found = iter(detector(readable, nms.confidence, nms.nms_iou, nms.max_detections))
        for file, image in zip(chunk, images, strict=True):
            if isinstance(image, InputError):
                yield file, image
                continue
            detections = next(found)
            with atomic_file(file.target) as temporary:
                draw(image, detections, detector.classes).save(temporary, DRAWN_AS[file.target.suffix.lower()], quality=92)
            yield file, detections


def to_rows(name: str, detections: Detections, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Detections as entries of a COCO results file, with the names of file and class, and rounded numbers."""
    return [
        {
            "file": name,
            "class": classes[row["category_id"] - 1],
            "category_id": row["category_id"],
            "bbox": [round(edge, 2) for edge in row["bbox"]],
            "score": round(row["score"], 4),
        }
        for row in to_coco_results(0, detections)
    ]


def _read(path: Path) -> Image.Image | InputError:
    try:
        return read_picture(path)
    except InputError as error:
        return error


def _drawn_name(name: str) -> str:
    return name if Path(name).suffix.lower() in DRAWN_AS else f"{name}.png"


def _walk(folder: Path) -> Iterator[Path]:
    """The files below `folder` that are not hidden, and links to nothing; each folder once, also if links lead to it."""
    seen = {folder.resolve()}
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = {Path(parent, name).resolve(): name for name in sorted(folders, reverse=True) if not _is_hidden(name)}
        folders[:] = [name for path, name in real.items() if path not in seen]
        seen |= real.keys()
        yield from (Path(parent, name) for name in names if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in IGNORED


def _pictures(path: Path, out: Path) -> list[tuple[Path, str]]:
    """Pictures and their names below `path`; hidden files are no pictures."""
    if path.is_dir():
        inside = (p for p in sorted(_walk(path)) if p.suffix.lower() in EXTENSIONS)
        pairs = [(p, p.relative_to(path).as_posix()) for p in inside if not p.resolve().is_relative_to(out.resolve())]
        if not pairs:
            raise InputError(path, "contains no pictures", f"give a folder with {', '.join(EXTENSIONS)} files")
        return pairs
    if not path.exists():
        raise InputError(path, "is missing", "check the path")
    if path.suffix.lower() not in EXTENSIONS:
        raise InputError(path, "does not have the extension of a picture", f"give {', '.join(EXTENSIONS)} files")
    return [(path, path.name)]
