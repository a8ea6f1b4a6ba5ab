"""Detection over files: every picture of some files and folders, drawn into one folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kd.data.draw import draw
from kd.data.pictures import read_picture
from kd.detection.decode import Detections
from kd.detection.evaluate import NMSConfig
from kd.detection.scores import to_coco_results
from kd.errors import InputError
from kd.files import atomic_file
from kd.sources import PictureDetector

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP"}


@dataclass(frozen=True)
class Task:
    """One picture: where it is read, where it is drawn, and its name below the folder that was asked for."""

    source: Path
    target: Path
    name: str


def plan(asked: list[Path], out: Path) -> list[Task]:
    """The pictures among files and (recursively) folders, sorted within a folder; `out` itself is never searched.

    Raises:
        InputError: if something is missing or holds no picture, or if a result would overwrite an input or another result.
    """
    tasks = [Task(source, out / name, name) for path in asked for source, name in _pictures(path, out)]
    inputs = {task.source.resolve() for task in tasks}
    drawn: dict[Path, Path] = {}
    for task in tasks:
        if task.target.resolve() in inputs:
            raise InputError(task.source, f"would be overwritten by a result in {out}", "choose another --out")
        if drawn.setdefault(task.target, task.source) != task.source:
            raise InputError(task.target, f"would hold both {drawn[task.target]} and {task.source}", "give their common folder instead")
    return tasks


def predict(detector: PictureDetector, tasks: list[Task], nms: NMSConfig) -> Iterator[tuple[Task, Detections]]:
    """Detect and draw picture by picture, in the order of `tasks`; the network sees them in batches.

    Raises:
        InputError: if a picture cannot be decoded; those before it are drawn.
    """
    for start in range(0, len(tasks), detector.batch):
        chunk = tasks[start : start + detector.batch]
        images = [read_picture(task.source) for task in chunk]
        found = detector(images, nms.confidence, nms.nms_iou, nms.max_detections)
        for task, image, detections in zip(chunk, images, found, strict=True):
            with atomic_file(task.target) as temporary:
                draw(image, detections, detector.classes).save(temporary, FORMATS[task.target.suffix.lower()], quality=92)
            yield task, detections


def as_rows(name: str, found: Detections, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Detections as entries of a COCO results file, with file and class by name and numbers a person can read."""
    return [
        {
            "file": name,
            "class": classes[row["category_id"] - 1],
            "category_id": row["category_id"],
            "bbox": [round(edge, 2) for edge in row["bbox"]],
            "score": round(row["score"], 4),
        }
        for row in to_coco_results(0, found)
    ]


def _pictures(path: Path, out: Path) -> list[tuple[Path, str]]:
    """Pictures and their names below `path`."""
    if path.is_dir():
        inside = (p for p in sorted(path.rglob("*")) if p.suffix.lower() in FORMATS and p.is_file())
        pairs = [(p, p.relative_to(path).as_posix()) for p in inside if not p.resolve().is_relative_to(out.resolve())]
        if not pairs:
            raise InputError(path, "holds no pictures", f"give a folder with {', '.join(FORMATS)} files")
        return pairs
    if not path.exists():
        raise InputError(path, "is missing", "check the path")
    if path.suffix.lower() not in FORMATS:
        raise InputError(path, "is no picture by its name", f"give {', '.join(FORMATS)} files")
    return [(path, path.name)]
