"""The one format that all steps after `prepare_data` read: COCO detection JSON."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from components.shared.boxes import LabeledPicture
from kd.files import atomic_file

Row = dict[str, Any]


def write_coco(path: Path, classes: Sequence[str], pictures: Sequence[tuple[str, LabeledPicture]]) -> None:
    """Write a split's `annotations.json`, one row a line and row by row, so that no data set is too large for memory.

    images have width and height in pixels; annotations have bbox [left, top, width, height] and area in pixels.

    Args:
        path: the file.
        classes: class names; their category ids are 1, 2, ...
        pictures: file name and picture; their image ids are 1, 2, ... in this order.
    """
    lists = {
        "annotations": _annotations(pictures),
        "categories": ({"id": i, "name": name} for i, name in enumerate(classes, 1)),
        "images": ({"id": i, "file_name": name, "width": p.width, "height": p.height} for i, (name, p) in enumerate(pictures, 1)),
    }
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for before, (name, rows) in zip("{,,", lists.items(), strict=True):
            file.write(f'{before}\n"{name}": [')
            _write_rows(file, rows)
        file.write("\n}\n")


def _annotations(pictures: Sequence[tuple[str, LabeledPicture]]) -> Iterator[Row]:
    boxes = ((image_id, box) for image_id, (_, picture) in enumerate(pictures, 1) for box in picture.boxes)
    for number, (image_id, box) in enumerate(boxes, 1):
        yield {
            "id": number,
            "image_id": image_id,
            "category_id": box.label + 1,
            "bbox": [float(box.x), float(box.y), float(box.w), float(box.h)],
            "area": round(float(box.w * box.h), 2),
            "iscrowd": int(box.crowd),
        }


def _write_rows(file: TextIO, rows: Iterable[Row]) -> None:
    before = "\n"
    for row in rows:
        file.write(before + json.dumps(row, ensure_ascii=False, allow_nan=False))
        before = ",\n"
    file.write("\n]")
