"""The detection loss: YOLOv3's three terms, with changes that make a stronger baseline.

As published, an object is predicted by the cell that contains its center. Unlike there, every anchor whose shape overlaps the
object by `SHAPE_IOU` is trained on it (the published network takes the best anchor only), boxes are trained with the complete
IoU loss (Zheng et al., 2020), and the target of objectness is the IoU of the predicted box.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
from torchvision.ops import box_iou, complete_box_iou_loss

from kd.data.anchors import Anchors
from kd.data.loader import Batch
from kd.detection.decode import Candidates, stride_offsets

SHAPE_IOU = 0.3
IGNORE_IOU = 0.6
"""Background candidates that overlap an object by more than this are ignored (section 2.1 of YOLOv3)."""
WEIGHTS = {"box": 3.0, "objectness": 1.0, "class": 3.0}


class Assignment(NamedTuple):
    """Candidates and the objects they are trained on: picture [N], candidate [N], object [N] indices."""

    pictures: Tensor
    candidates: Tensor
    objects: Tensor


class DetectionLoss:
    """From candidates and a batch to the weighted terms of the loss."""

    def __init__(self, anchors: Anchors, image_size: int) -> None:
        self.anchors, self.image_size = anchors, image_size

    def __call__(self, candidates: Candidates, batch: Batch) -> dict[str, Tensor]:
        """The terms "box", "objectness" and "class", each a scalar: sums over the batch divided by the number of assignments.

        Candidates in pictures without labels are left out: they are neither objects nor background.
        """
        candidates = candidates.first_pictures(len(batch.pictures) - batch.unlabelled)
        assignment = assign_targets(batch, self.anchors, self.image_size)
        count = max(len(assignment.objects), 1)
        assigned = candidates.at(assignment.pictures, assignment.candidates)
        box_loss = complete_box_iou_loss(assigned.boxes, batch.boxes[assignment.objects])
        labels = one_hot(batch.labels[assignment.objects], assigned.classes.shape[-1]).float()
        terms = {
            "box": box_loss.sum(),
            "objectness": self._objectness_loss(candidates, batch, assignment, 1 - box_loss.detach()),
            "class": binary_cross_entropy_with_logits(assigned.classes, labels, reduction="sum"),
        }
        return {name: WEIGHTS[name] * term / count for name, term in terms.items()}

    def _objectness_loss(self, candidates: Candidates, batch: Batch, assignment: Assignment, iou: Tensor) -> Tensor:
        objectness = candidates.objectness.contiguous()
        target = torch.zeros_like(objectness)
        target[assignment.pictures, assignment.candidates] = iou.clamp(0, 1)
        with torch.no_grad():
            counted = ~overlapping_objects(candidates.boxes, batch)
        counted[assignment.pictures, assignment.candidates] = True
        loss = binary_cross_entropy_with_logits(objectness, target, reduction="none")
        return (loss * counted).sum()


def assign_targets(batch: Batch, anchors: Anchors, image_size: int) -> Assignment:
    """Assign each object to the cell of its center, at every anchor of similar shape and always at the most similar one.

    A candidate to which several objects are assigned keeps the object of the most similar shape; among equals, the first.
    """
    starts = stride_offsets(image_size, list(anchors))
    shapes = batch.boxes.new_tensor([shape for stride in sorted(anchors) for shape in anchors[stride]])
    strides = torch.tensor([stride for stride in sorted(anchors) for _ in anchors[stride]], device=batch.boxes.device)
    first = torch.tensor([starts[s] + a * (image_size // s) ** 2 for s in sorted(anchors) for a in range(3)], device=batch.boxes.device)
    sides = batch.boxes[:, 2:] - batch.boxes[:, :2]
    overlap = shape_iou(sides, shapes)
    chosen = overlap > SHAPE_IOU
    if len(sides):
        chosen[torch.arange(len(sides), device=chosen.device), overlap.argmax(dim=1)] = True
    objects, anchor = chosen.nonzero(as_tuple=True)
    centers = (batch.boxes[objects, :2] + batch.boxes[objects, 2:]) / 2
    cells = image_size // strides[anchor]
    column, row = (torch.minimum((centers[:, i] / strides[anchor]).long().clamp(min=0), cells - 1) for i in (0, 1))
    assignment = Assignment(batch.batch_index[objects], first[anchor] + row * cells + column, objects)
    return _resolve_conflicts(assignment, overlap[objects, anchor])


def _resolve_conflicts(assignment: Assignment, overlap: Tensor) -> Assignment:
    if not len(overlap):
        return assignment
    key = assignment.pictures * (assignment.candidates.max() + 1) + assignment.candidates
    rank = overlap.argsort(descending=True, stable=True).argsort()
    best = rank.new_full((int(key.max()) + 1,), len(rank)).scatter_reduce(0, key, rank, "amin")
    kept = rank == best[key]
    return Assignment(*(part[kept] for part in assignment))


def shape_iou(sides: Tensor, shapes: Tensor) -> Tensor:
    """IoU [M, A] of boxes with sides [M, 2] and [A, 2] that share their center."""
    intersection = torch.minimum(sides[:, None], shapes[None]).prod(dim=-1)
    return intersection / (sides.prod(dim=-1)[:, None] + shapes.prod(dim=-1)[None] - intersection)


def overlapping_objects(boxes: Tensor, batch: Batch) -> Tensor:
    """[B, P] bool: which candidates overlap an object of their picture by more than `IGNORE_IOU`."""
    overlaps = torch.zeros(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    for picture in range(len(boxes)):
        objects = batch.boxes[batch.batch_index == picture]
        if len(objects):
            overlaps[picture] = (box_iou(boxes[picture], objects) > IGNORE_IOU).any(dim=1)
    return overlaps
