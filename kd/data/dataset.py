"""A prepared split on disk: COCO JSON with pictures."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kd.data.pictures import letterbox, read_picture
from kd.data.square import Frame
from kd.errors import InputError
from kd.files import read_json


class DetectionData:
    """Labelled pictures of one split, fitted into squares when they are asked for.

    Args:
        folder: the split's folder, with `annotations.json` and `images/`.
        image_size: side of the squares in pixels.

    Attributes:
        classes: class names in the order of the labels.
        truth: the annotations as they stand in the file.

    Raises:
        InputError: if the annotations are missing or are no COCO JSON.
    """

    def __init__(self, folder: Path, image_size: int) -> None:
        self.folder, self.image_size = folder, image_size
        self.truth: dict[str, Any] = read_json(folder / "annotations.json")
        try:
            self.classes = tuple(category["name"] for category in self.truth["categories"])
            self.ids = [image["id"] for image in self.truth["images"]]
            self.files = [folder / "images" / image["file_name"] for image in self.truth["images"]]
            self.sizes = [(image["width"], image["height"]) for image in self.truth["images"]]
            self._group_boxes()
        except (KeyError, TypeError) as error:
            raise InputError(folder / "annotations.json", f"lacks the field {error}", "run prepare_data again") from None

    def __len__(self) -> int:
        return len(self.files)

    def square(self, index: int) -> tuple[Tensor, Frame]:
        """Picture `index` as uint8 [3, S, S], and where it lies in the square."""
        image = read_picture(self.files[index], at_least=self.image_size)
        return letterbox(image, self.image_size, self.sizes[index])

    def objects(self, index: int) -> tuple[Tensor, Tensor]:
        """Boxes [M, 4] (x0, y0, x1, y1) in the picture's own pixels and labels [M] of picture `index`, crowds left out."""
        return self.boxes[index], self.labels[index]

    def _group_boxes(self) -> None:
        position = {image_id: index for index, image_id in enumerate(self.ids)}
        label = {category["id"]: index for index, category in enumerate(self.truth["categories"])}
        rows: list[list[tuple[list[float], int]]] = [[] for _ in self.ids]
        for annotation in self.truth["annotations"]:
            if not annotation["iscrowd"]:
                x, y, w, h = annotation["bbox"]
                rows[position[annotation["image_id"]]].append(([x, y, x + w, y + h], label[annotation["category_id"]]))
        self.boxes = [torch.tensor([box for box, _ in row], dtype=torch.float32).reshape(-1, 4) for row in rows]
        self.labels = [torch.tensor([label for _, label in row], dtype=torch.int64) for row in rows]
