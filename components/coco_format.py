"""The one format that all steps after `prepare_data` read: COCO detection JSON."""

from collections.abc import Sequence
from typing import Any

from components.layouts.source import Picture


def coco_content(classes: Sequence[str], pictures: Sequence[tuple[str, Picture]]) -> dict[str, Any]:
    """The content of a split's `annotations.json`.

    Args:
        classes: class names; their category ids are 1, 2, ...
        pictures: file name and picture; their image ids are 1, 2, ... in this order.

    Returns:
        images with width and height in pixels; annotations with bbox [left, top, width, height] and area in pixels.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (name, picture) in enumerate(pictures, 1):
        images.append({"id": image_id, "file_name": name, "width": picture.width, "height": picture.height})
        for box in picture.boxes:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": box.label + 1,
                    "bbox": [float(box.x), float(box.y), float(box.w), float(box.h)],
                    "area": round(float(box.w * box.h), 2),
                    "iscrowd": int(box.crowd),
                }
            )
    return {"images": images, "annotations": annotations, "categories": [{"id": i, "name": name} for i, name in enumerate(classes, 1)]}
