"""Response distillation: the student learns the boxes and the class probabilities of what the teacher finds.

The teacher's finds go through non-maximum suppression first, and each counts by the teacher's objectness, so that an unsure
teacher says little (Mehta and Ozturk, "Object detection at 200 FPS", 2018).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import complete_box_iou_loss, nms

from kd.data.loader import Batch
from kd.detection.decode import candidates
from kd.detection.loss import match
from kd.model.spec import Anchors

CONFIDENCE, NMS_IOU, MOST = 0.2, 0.5, 50


class Finds(NamedTuple):
    """What the teacher found in a batch.

    Attributes:
        objects: the found boxes in the place of labelled ones.
        objectness: [M] in 0..1.
        classes: [M, K] probabilities in 0..1.
    """

    objects: Batch
    objectness: Tensor
    classes: Tensor


def response_loss(student: dict[int, Tensor], anchors: Anchors, image_size: int, finds: Finds) -> Tensor:
    """Box and class terms of the student's heads against the teacher's finds, a mean weighted by their objectness."""
    found = candidates(student, anchors)
    matches = match(finds.objects, anchors, image_size)
    weight = finds.objectness[matches.objects]
    box = complete_box_iou_loss(found.boxes[matches.pictures, matches.candidates], finds.objects.boxes[matches.objects])
    logits = found.classes[matches.pictures, matches.candidates]
    classes = binary_cross_entropy_with_logits(logits, finds.classes[matches.objects], reduction="none").sum(dim=1)
    loss: Tensor = (weight * (box + classes)).sum() / weight.sum().clamp(min=1.0)
    return loss


@torch.no_grad()
def teacher_finds(heads: dict[int, Tensor], anchors: Anchors, batch: Batch) -> Finds:
    """The objects that the teacher's heads find in the pictures of `batch`."""
    found = candidates(heads, anchors)
    objectness, classes = found.objectness.sigmoid(), found.classes.sigmoid()
    kept = [_best(boxes, scores) for boxes, scores in zip(found.boxes, objectness * classes.amax(dim=2), strict=True)]
    owners = torch.cat([torch.full_like(places, picture) for picture, places in enumerate(kept)])
    places = torch.cat(kept)
    classes = classes[owners, places]
    objects = Batch(batch.pictures, found.boxes[owners, places], classes.argmax(dim=1), owners, {})
    return Finds(objects, objectness[owners, places], classes)


def _best(boxes: Tensor, scores: Tensor) -> Tensor:
    """Indices of the candidates that are left of boxes [P, 4] with scores [P], best first."""
    sure = (scores > CONFIDENCE).nonzero().flatten()
    return sure[nms(boxes[sure], scores[sure], NMS_IOU)[:MOST]]
