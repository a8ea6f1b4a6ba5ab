"""Response distillation: what the teacher finds, after non-maximum suppression, is taught as if it were labelled.

Each found object counts by the teacher's score, so an unsure teacher says little (Mehta and Ozturk, "Object detection at
200 FPS", 2018, scale by objectness for the same reason).
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
from torchvision.ops import complete_box_iou_loss

from kd.data.loader import Batch
from kd.detection.decode import candidates, decode, select
from kd.detection.loss import match
from kd.model.spec import Anchors

CONFIDENCE, NMS_IOU, MOST = 0.3, 0.6, 50


def response_loss(student: dict[int, Tensor], anchors: Anchors, image_size: int, lesson: Batch, scores: Tensor) -> Tensor:
    """Box and class terms of the student's heads against the teacher's finds (`lesson`), weighted by their scores [M]."""
    found = candidates(student, anchors)
    matches = match(lesson, anchors, image_size)
    weight = scores[matches.objects]
    box = complete_box_iou_loss(found.boxes[matches.pictures, matches.candidates], lesson.boxes[matches.objects])
    logits = found.classes[matches.pictures, matches.candidates]
    labels = one_hot(lesson.labels[matches.objects], logits.shape[-1]).float()
    classes = binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(dim=1)
    loss: Tensor = (weight * (box + classes)).sum() / weight.sum().clamp(min=1.0)
    return loss


@torch.no_grad()
def lesson(teacher: dict[int, Tensor], anchors: Anchors, batch: Batch) -> tuple[Batch, Tensor]:
    """The teacher's finds in the batch's pictures as labelled boxes, and their scores [M]."""
    boxes, scores = decode(teacher, anchors)
    found = [select(b, s, CONFIDENCE, NMS_IOU, MOST) for b, s in zip(boxes, scores, strict=True)]
    owners = torch.cat([torch.full_like(f.labels, picture) for picture, f in enumerate(found)])
    taught = Batch(batch.pictures, torch.cat([f.boxes for f in found]), torch.cat([f.labels for f in found]), owners, {})
    return taught, torch.cat([f.scores for f in found])
