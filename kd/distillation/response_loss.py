"""Response distillation: the student learns the boxes and class probabilities of the objects that the teacher detects.

Duplicates among the teacher's detections are removed by non-maximum suppression first, and each detection is weighted by the
teacher's objectness (Mehta and Ozturk, "Object detection at 200 FPS", 2018).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import complete_box_iou_loss

from kd.data.anchors import Anchors
from kd.data.loader import Batch
from kd.detection.decode import Candidates, flatten_heads, nms_per_group
from kd.detection.loss import assign_targets

CONFIDENCE, NMS_IOU = 0.2, 0.5


class TeacherDetections(NamedTuple):
    """What the teacher detects in a batch.

    Attributes:
        objects: the batch, with the detected boxes in place of the labeled ones.
        objectness: [M] in 0..1.
        classes: [M, K] probabilities in 0..1.
    """

    objects: Batch
    objectness: Tensor
    classes: Tensor


def response_loss(student: Candidates, anchors: Anchors, image_size: int, teacher: TeacherDetections) -> Tensor:
    """Box and class terms of the student against the teacher's detections, their mean weighted by the teacher's objectness."""
    assignment = assign_targets(teacher.objects, anchors, image_size)
    predictions = student.at(assignment.pictures, assignment.candidates)
    weight = teacher.objectness[assignment.objects]
    box = complete_box_iou_loss(predictions.boxes, teacher.objects.boxes[assignment.objects])
    target = teacher.classes[assignment.objects]
    classes = binary_cross_entropy_with_logits(predictions.classes, target, reduction="none").sum(dim=1)
    loss: Tensor = (weight * (box + classes)).sum() / weight.sum().clamp(min=1.0)
    return loss


def add_detections(batch: Batch, heads: dict[int, Tensor], anchors: Anchors) -> Batch:
    """The batch with the objects that the teacher's `heads` detect in its pictures without labels, as if they were labels."""
    if not batch.unlabelled:
        return batch
    detected = teacher_detections(heads, anchors, batch).objects
    added = detected.batch_index >= len(batch.pictures) - batch.unlabelled
    columns = zip(batch[1:4], detected[1:4], strict=True)
    boxes, labels, batch_index = (torch.cat([own, other[added]]) for own, other in columns)
    return Batch(batch.pictures, boxes, labels, batch_index, batch.maps)


@torch.no_grad()
def teacher_detections(heads: dict[int, Tensor], anchors: Anchors, batch: Batch) -> TeacherDetections:
    """The objects that the teacher's `heads` detect in the pictures of `batch`."""
    everything = flatten_heads(heads, anchors)
    # a score is at most its objectness, so only few candidates need decoding
    batch_index, places = (everything.objectness > math.log(CONFIDENCE / (1 - CONFIDENCE))).nonzero(as_tuple=True)
    found = everything.at(batch_index, places)
    objectness, classes = found.objectness.sigmoid(), found.classes.sigmoid()
    scores = objectness * classes.amax(dim=1)
    confident = (scores > CONFIDENCE).nonzero().flatten()
    boxes = found.boxes[confident]
    kept = nms_per_group(boxes, scores[confident], batch_index[confident], NMS_IOU)
    chosen = confident[kept]
    classes = classes[chosen]
    objects = Batch(batch.pictures, boxes[kept], classes.argmax(dim=1), batch_index[chosen], {})
    return TeacherDetections(objects, objectness[chosen], classes)
