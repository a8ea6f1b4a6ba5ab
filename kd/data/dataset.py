"""A prepared split on disk: COCO JSON with pictures."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kd.data.letterbox import Letterbox
from kd.data.pictures import letterbox, read_picture
from kd.errors import InputError
from kd.files import read_json


class DetectionData:
    """Labelled pictures of one split, fitted into squares when they are asked for.

    Labels are kept as arrays, some hundred bytes a picture: a hundred thousand pictures fit into any machine's memory.

    Args:
        folder: the split's folder, with `annotations.json` and `images/`.
        image_size: side of the squares in pixels.

    Attributes:
        classes: class names in the order of the labels.
        ids: image ids of the annotations, in the order of the split.
        sizes: width and height of each picture in pixels.

    Raises:
        InputError: if the annotations are missing or are no COCO JSON.
    """

    def __init__(self, folder: Path, image_size: int) -> None:
        self.folder, self.image_size = folder, image_size
        truth = self._read()
        try:
            self.classes = tuple(category["name"] for category in truth["categories"])
            self.ids: list[int] = [image["id"] for image in truth["images"]]
            self.sizes: list[tuple[int, int]] = [(image["width"], image["height"]) for image in truth["images"]]
            self._names: list[str] = [image["file_name"] for image in truth["images"]]
            self._group_boxes(truth)
        except (KeyError, TypeError) as error:
            raise InputError(self._annotations, f"lacks the field {error}", "run prepare_data again") from None

    def __len__(self) -> int:
        return len(self._names)

    @cached_property
    def ground_truth(self) -> dict[str, Any]:
        """The annotations as they stand in the file; read when they are first asked for, because scoring alone needs them."""
        return self._read()

    def file(self, index: int) -> Path:
        """The file of picture `index`."""
        return self.folder / "images" / self._names[index]

    def square(self, index: int) -> tuple[Tensor, Letterbox]:
        """Picture `index` as uint8 [3, S, S], and where it lies in the square."""
        image = read_picture(self.file(index), at_least=self.image_size)
        return letterbox(image, self.image_size, self.sizes[index])

    def objects(self, index: int) -> tuple[Tensor, Tensor]:
        """Boxes [M, 4] (x0, y0, x1, y1) in the picture's own pixels and labels [M] of picture `index`, crowds left out."""
        own = slice(self._starts[index], self._starts[index + 1])
        return torch.from_numpy(self._boxes[own]), torch.from_numpy(self._labels[own])

    @property
    def _annotations(self) -> Path:
        return self.folder / "annotations.json"

    def _read(self) -> dict[str, Any]:
        content: dict[str, Any] = read_json(self._annotations)
        return content

    def _group_boxes(self, truth: dict[str, Any]) -> None:
        """Keep the boxes picture by picture, those of picture i from `_starts[i]` to `_starts[i + 1]`."""
        position = {image_id: index for index, image_id in enumerate(self.ids)}
        label = {category["id"]: index for index, category in enumerate(truth["categories"])}
        objects = [annotation for annotation in truth["annotations"] if not annotation["iscrowd"]]
        batch_index = np.array([position[annotation["image_id"]] for annotation in objects], dtype=np.int64)
        corners = np.array([annotation["bbox"] for annotation in objects], dtype=np.float64).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        order = batch_index.argsort(kind="stable")
        self._starts = np.searchsorted(batch_index[order], np.arange(len(self.ids) + 1))
        self._boxes = corners[order].astype(np.float32)
        self._labels = np.array([label[annotation["category_id"]] for annotation in objects], dtype=np.int64)[order]
