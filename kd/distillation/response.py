"""Response distillation: the student learns the boxes and the class probabilities of what the teacher finds.

The teacher's finds go through non-maximum suppression first, and each counts by the teacher's objectness, so that an unsure
teacher says little (Mehta and Ozturk, "Object detection at 200 FPS", 2018).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import complete_box_iou_loss

from kd.data.loader import Batch
from kd.detection.decode import Candidates, candidates, suppress
from kd.detection.loss import match
from kd.model.spec import Anchors

CONFIDENCE, NMS_IOU = 0.2, 0.5


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


def response_loss(student: Candidates, anchors: Anchors, image_size: int, finds: Finds) -> Tensor:
    """Box and class terms of the student's candidates against the teacher's finds, a mean weighted by their objectness."""
    matches = match(finds.objects, anchors, image_size)
    found = student.at(matches.pictures, matches.candidates)
    weight = finds.objectness[matches.objects]
    box = complete_box_iou_loss(found.boxes, finds.objects.boxes[matches.objects])
    classes = binary_cross_entropy_with_logits(found.classes, finds.classes[matches.objects], reduction="none").sum(dim=1)
    loss: Tensor = (weight * (box + classes)).sum() / weight.sum().clamp(min=1.0)
    return loss


@torch.no_grad()
def teacher_finds(heads: dict[int, Tensor], anchors: Anchors, batch: Batch) -> Finds:
    """The objects that the teacher's heads find in the pictures of `batch`."""
    everything = candidates(heads, anchors)
    # few are sure enough to be decoded: a score is at most its objectness
    owners, places = (everything.objectness > math.log(CONFIDENCE / (1 - CONFIDENCE))).nonzero(as_tuple=True)
    found = everything.at(owners, places)
    objectness, classes = found.objectness.sigmoid(), found.classes.sigmoid()
    scores = objectness * classes.amax(dim=1)
    sure = (scores > CONFIDENCE).nonzero().flatten()
    boxes = found.boxes[sure]
    kept = suppress(boxes, scores[sure], owners[sure], NMS_IOU)
    chosen = sure[kept]
    classes = classes[chosen]
    return Finds(Batch(batch.pictures, boxes[kept], classes.argmax(dim=1), owners[chosen], {}), objectness[chosen], classes)
