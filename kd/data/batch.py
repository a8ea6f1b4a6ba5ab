"""Batches of training pictures, and their augmentation on the device of the training.

The processes that load pictures only decode them and choose how they are augmented. Pictures travel as uint8, and the device moves all
pixels of a batch at once.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from kd.data.augment import adjust_colors
from kd.data.letterbox import GREY
from kd.data.placement import warp

if TYPE_CHECKING:
    from kd.model.spec import Tap


class Batch(NamedTuple):
    """What a training step reads.

    Attributes:
        pictures: float [B, 3, S, S] in 0..1.
        boxes: [M, 4] (x0, y0, x1, y1) in pixels of the square, of all pictures together.
        labels: [M] class indices.
        batch_index: [M] index in the batch of the picture that a box belongs to.
        maps: information maps [B, S / stride, S / stride] by tap; empty if none are used.
        unlabelled: how many pictures, the last ones, have no labels; an object in them is not background.
    """

    pictures: Tensor
    boxes: Tensor
    labels: Tensor
    batch_index: Tensor
    maps: "dict[Tap, Tensor]"
    unlabelled: int = 0

    def to(self, device: torch.device) -> "Batch":
        """The batch on `device`."""
        return self._replace(maps=_move_maps(self.maps, device), **_moved_tensors(self, device))


class LoadedBatch(NamedTuple):
    """A batch before its pixels are augmented.

    Attributes:
        squares: uint8 [B, 3, S, S] the letterboxed pictures.
        groups: [G, N] the pictures that are composed from each other, see `kd.data.placement.warp`; a small group repeats some.
        slots: [B] index of each picture's first occurrence in the flattened groups.
        placements: [B, K, 8] where the squares of each picture go, see `kd.data.placement.to_tensor`.
        colors: [B, 3] see `kd.data.augment.adjust_colors`.
        boxes: as those of a `Batch`, augmented already; and so are the next two.
        labels: as those of a `Batch`.
        batch_index: as that of a `Batch`.
        maps: information maps of the squares [B, S / stride, S / stride] by tap.
        unlabelled: as that of a `Batch`.
    """

    squares: Tensor
    groups: Tensor
    slots: Tensor
    placements: Tensor
    colors: Tensor
    boxes: Tensor
    labels: Tensor
    batch_index: Tensor
    maps: "dict[Tap, Tensor]"
    unlabelled: int

    def to(self, device: torch.device) -> "LoadedBatch":
        """The batch on `device`."""
        return self._replace(maps=_move_maps(self.maps, device), **_moved_tensors(self, device))

    def augment(self) -> Batch:
        """The batch with augmented pictures and maps."""
        pictures = adjust_colors(self._warp(self.squares, 255 * GREY) / 255, self.colors)
        maps = {tap: self._warp(squares[:, None], 0.0)[:, 0] for tap, squares in self.maps.items()}
        return Batch(pictures, self.boxes, self.labels, self.batch_index, maps, self.unlabelled)

    def _warp(self, squares: Tensor, fill: float) -> Tensor:
        return warp(squares[self.groups], self.placements[self.groups], fill).flatten(0, 1)[self.slots]


def _moved_tensors(batch: Batch | LoadedBatch, device: torch.device) -> dict[str, Any]:
    return {name: part.to(device, non_blocking=True) for name, part in batch._asdict().items() if isinstance(part, Tensor)}


def _move_maps(maps: "dict[Tap, Tensor]", device: torch.device) -> "dict[Tap, Tensor]":
    return {tap: values.to(device, non_blocking=True) for tap, values in maps.items()}
