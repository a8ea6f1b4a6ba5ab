"""COCO detection JSON, the format that all steps after `prepare_data` read."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from components.shared.boxes import LabeledPicture
from kd.files import atomic_file


def write_coco(path: Path, classes: Sequence[str], pictures: Sequence[tuple[str, LabeledPicture]]) -> None:
    """Write the `annotations.json` of a split, one row per line; rows are streamed, so memory does not limit the dataset's size.

    Images have width and height in pixels; annotations have bbox [left, top, width, height] and area in pixels.

    Args:
        path: file to write.
        classes: class names; their category ids are 1, 2, ...
        pictures: file names and pictures; their image ids are 1, 2, ...
    """
    tables = {
        "annotations": _annotations(pictures),
        "categories": ({"id": i, "name": name} for i, name in enumerate(classes, 1)),
        "images": ({"id": i, "file_name": name, "width": p.width, "height": p.height} for i, (name, p) in enumerate(pictures, 1)),
    }
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for index, (name, rows) in enumerate(tables.items()):
            file.write(f'{"," if index else "{"}\n"{name}": [')
            _write_rows(file, rows)
        file.write("\n}\n")


def _annotations(pictures: Sequence[tuple[str, LabeledPicture]]) -> Iterator[dict[str, Any]]:
    boxes = ((image_id, box) for image_id, (_, picture) in enumerate(pictures, 1) for box in picture.boxes)
    for annotation_id, (image_id, box) in enumerate(boxes, 1):
        yield {
            "id": annotation_id,
            "image_id": image_id,
            "category_id": box.label + 1,
            "bbox": [float(box.x), float(box.y), float(box.w), float(box.h)],
            "area": round(float(box.w * box.h), 2),
            "iscrowd": int(box.crowd),
        }


def _write_rows(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    separator = "\n"
    for row in rows:
        file.write(separator + json.dumps(row, ensure_ascii=False, allow_nan=False))
        separator = ",\n"
    file.write("\n]")
