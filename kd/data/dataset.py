"""A prepared split on disk: COCO JSON and pictures. Whatever opens a prepared picture opens it here."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from kd.data.letterbox import Letterbox, UnreadablePicture, decode_picture
from kd.data.pictures import letterbox_tensor
from kd.data.shards import PREPARE_AGAIN, PictureShards, PictureStream
from kd.errors import InputError
from kd.files import read_json

UNLABELLED = "unlabelled"
"""The split with pictures without labels."""


class DetectionData:
    """The labeled pictures of one split. Pictures are read and letterboxed when they are accessed.

    Labels are kept as arrays of some hundred bytes for each picture, so that 100,000 pictures fit into memory.

    Args:
        folder: the split's folder, with `annotations.json`, `pictures.json` and the shards of `kd.data.shards`.
        image_size: side of the letterboxed pictures in pixels.

    Attributes:
        classes: class names in the order of the labels.
        ids: image ids of the annotations, in the order of the split.
        names: file name of each picture before it was prepared.
        sizes: width and height of each picture in pixels before it was prepared; boxes are in these pixels.

    Raises:
        InputError: if the annotations are missing or not in COCO format, or the pictures are missing or not in shards.
    """

    def __init__(self, folder: Path, image_size: int) -> None:
        self.folder, self.image_size = folder, image_size
        annotations = self._read()
        try:
            self.classes = tuple(category["name"] for category in annotations["categories"])
            self.ids: list[int] = [image["id"] for image in annotations["images"]]
            self.sizes: list[tuple[int, int]] = [(image["width"], image["height"]) for image in annotations["images"]]
            self.names: list[str] = [image["file_name"] for image in annotations["images"]]
            self._group_boxes(annotations)
        except (KeyError, TypeError) as error:
            raise InputError(self._file, f"lacks the field {error}", PREPARE_AGAIN) from None
        self._shards = PictureShards(folder, self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def ground_truth(self) -> dict[str, Any]:
        """The content of annotations.json; it is read on first access, because only evaluation needs it."""
        return self._read()

    def open(self, index: int) -> PictureStream:
        """The encoded picture `index`, with its place and name for messages as `name`.

        Raises:
            InputError: if it cannot be read.
        """
        stream = self._shards.open(index)
        stream.name += f" ({self.names[index]})"
        return stream

    def picture(self, index: int, at_least: int = 0) -> Image.Image:
        """Picture `index`, decoded as by `kd.data.letterbox.decode_picture`; smaller than `sizes[index]` if it was scaled down.

        Raises:
            InputError: if it cannot be read or decoded.
        """
        stream = self.open(index)
        try:
            return decode_picture(stream, at_least)
        except UnreadablePicture as error:
            raise InputError(stream.name, f"picture cannot be decoded ({error})", PREPARE_AGAIN) from None

    def letterboxed(self, index: int) -> tuple[Tensor, Letterbox]:
        """Picture `index` as uint8 [3, S, S], and its position in the square."""
        return letterbox_tensor(self.picture(index, at_least=self.image_size), self.image_size, self.sizes[index])

    def objects(self, index: int) -> tuple[Tensor, Tensor]:
        """Boxes [M, 4] (x0, y0, x1, y1) in the picture's own pixels and labels [M] of picture `index`, without crowds."""
        own = slice(self._starts[index], self._starts[index + 1])
        return torch.from_numpy(self._boxes[own]), torch.from_numpy(self._labels[own])

    @property
    def _file(self) -> Path:
        return self.folder / "annotations.json"

    def _read(self) -> dict[str, Any]:
        content: dict[str, Any] = read_json(self._file)
        return content

    def _group_boxes(self, annotations: dict[str, Any]) -> None:
        """Sort the boxes by picture; those of picture i are at `_starts[i]` to `_starts[i + 1]`."""
        position = {image_id: index for index, image_id in enumerate(self.ids)}
        label = {category["id"]: index for index, category in enumerate(annotations["categories"])}
        objects = [annotation for annotation in annotations["annotations"] if not annotation["iscrowd"]]
        image_index = np.array([position[annotation["image_id"]] for annotation in objects], dtype=np.int64)
        corners = np.array([annotation["bbox"] for annotation in objects], dtype=np.float64).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        order = image_index.argsort(kind="stable")
        self._starts = np.searchsorted(image_index[order], np.arange(len(self.ids) + 1))
        self._boxes = corners[order].astype(np.float32)
        self._labels = np.array([label[annotation["category_id"]] for annotation in objects], dtype=np.int64)[order]


def find_unlabelled(data: Path, image_size: int) -> DetectionData | None:
    """The pictures without labels in the output of prepare_data; None if there are none."""
    folder = data / UNLABELLED
    return DetectionData(folder, image_size) if folder.is_dir() else None
