"""Which candidates are trained on which objects.

Every object is paired with every anchor, and a mask tells which of the pairs are trained. So shapes depend on the number of objects
only, and no step waits for the device to count.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kd.data.anchors import Anchors
from kd.detection.decode import Candidates

SHAPE_IOU = 0.3


class Assignment(NamedTuple):
    """Pairs of an object and a candidate: picture [N], candidate [N] and object [N] indices, and which are trained, [N] bool."""

    pictures: Tensor
    candidates: Tensor
    objects: Tensor
    trained: Tensor

    def select(self, candidates: Candidates) -> Candidates:
        """The candidate of each pair, [N]; the raw predictions of pairs that are not trained are 0 and get no gradient."""
        selected = candidates.at(self.pictures, self.candidates)
        return selected._replace(raw=selected.raw.masked_fill(~self.trained[:, None], 0.0))


class TargetAssigner(nn.Module):
    """Assigns each object to the cell of its center, at every anchor of similar shape and always at the most similar one.

    A candidate to which several objects are assigned keeps the object of the most similar shape; among equals, the first.
    """

    shapes: Tensor
    strides: Tensor

    def __init__(self, anchors: Anchors) -> None:
        super().__init__()
        rows = [(stride, shape) for stride in sorted(anchors) for shape in anchors[stride]]
        self.register_buffer("shapes", torch.tensor([shape for _, shape in rows], dtype=torch.float32), persistent=False)
        self.register_buffer("strides", torch.tensor([stride for stride, _ in rows]), persistent=False)
        self.anchor_strides = [stride for stride, _ in rows]

    def forward(self, boxes: Tensor, batch_index: Tensor, pictures: int, side: int, valid: Tensor | None = None) -> Assignment:
        """Assign objects.

        Args:
            boxes: [M, 4] in pixels of the square.
            batch_index: [M] the picture that each belongs to.
            pictures: number of pictures.
            side: of the square in pixels.
            valid: [M] bool, which boxes are objects; None if all are.
        """
        overlap = shape_iou(boxes[:, 2:] - boxes[:, :2], self.shapes)
        anchor = torch.arange(len(self.shapes), device=boxes.device)
        chosen = (overlap > SHAPE_IOU) | (anchor == overlap.argmax(dim=1, keepdim=True))
        if valid is not None:
            chosen = chosen & valid[:, None]
        cells = side // self.strides
        starts = cells.square().cumsum(dim=0) - cells.square()
        count = sum((side // stride) ** 2 for stride in self.anchor_strides)
        centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        column, row = torch.minimum((centers / self.strides[:, None]).long().clamp(min=0), cells[:, None] - 1).unbind(-1)
        candidates = (starts + row * cells + column).flatten()
        objects = torch.arange(len(boxes), device=boxes.device)[:, None].expand(chosen.shape).flatten()
        keys = batch_index[objects] * count + candidates
        trained = _resolve_conflicts(keys, overlap.flatten(), chosen.flatten(), pictures * count)
        return Assignment(batch_index[objects], candidates, objects, trained)


def _resolve_conflicts(keys: Tensor, overlap: Tensor, chosen: Tensor, count: int) -> Tensor:
    """Of the chosen pairs with equal keys (0 to `count`, exclusive), the one with the largest overlap; among equals the first."""
    best = overlap.new_zeros(count).scatter_reduce(0, keys, overlap * chosen, "amax")
    chosen = chosen & (overlap == best[keys])
    number = torch.arange(len(keys), device=keys.device)
    first = number.new_full((count,), len(keys)).scatter_reduce(0, keys, number.masked_fill(~chosen, len(keys)), "amin")
    return chosen & (number == first[keys])


def shape_iou(sides: Tensor, shapes: Tensor) -> Tensor:
    """IoU [M, A] of boxes with sides [M, 2] and [A, 2] that share their center."""
    intersection = torch.minimum(sides[:, None], shapes[None]).prod(dim=-1)
    return intersection / (sides.prod(dim=-1)[:, None] + shapes.prod(dim=-1)[None] - intersection)
