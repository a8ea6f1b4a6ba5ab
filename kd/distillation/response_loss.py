"""Response distillation: the student learns the boxes and class probabilities of the objects that the teacher detects.

Duplicates among the teacher's detections are removed by non-maximum suppression first, and each detection is weighted by the
teacher's objectness (Mehta and Ozturk, "Object detection at 200 FPS", 2018). All pictures have the same number of detections, of
which a mask tells the valid ones, so that no step waits for the device to count.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from kd.data.anchors import Anchors
from kd.data.batch import Batch
from kd.detection.assignment import Assignment, TargetAssigner
from kd.detection.boxes import complete_iou_loss, iou
from kd.detection.decode import Candidates, flatten_heads
from kd.detection.reduce_mean import reduce_mean

CONFIDENCE, NMS_IOU = 0.2, 0.5
MAX_CANDIDATES, MAX_PAIRS = 256, 256
"""Of a picture, for shapes that do not depend on the teacher: candidates of the teacher with the highest objectness, before
non-maximum suppression, and pairs of a detection and a candidate of the student."""
SUPPRESSION_ROUNDS = 16
"""Of non-maximum suppression: a box is decided correctly if fewer boxes depend on one another in a chain that ends in it."""


class TeacherDetections(NamedTuple):
    """What the teacher detects in a batch, the best first.

    Attributes:
        boxes: [B, T, 4] in pixels of the square.
        objectness: [B, T] in 0..1.
        classes: [B, T, K] probabilities in 0..1.
        valid: [B, T] bool, which of them are detections.
    """

    boxes: Tensor
    objectness: Tensor
    classes: Tensor
    valid: Tensor

    def objects(self) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes [M, 4], labels [M] and pictures [M] of the detections of all pictures; waits for the device."""
        pictures, numbers = self.valid.nonzero(as_tuple=True)
        return self.boxes[pictures, numbers], self.classes[pictures, numbers].argmax(dim=1), pictures


def response_loss(student: Candidates, assign: TargetAssigner, teacher: TeacherDetections, side: int) -> Tensor:
    """Box and class terms of the student against the teacher's detections, their mean weighted by the teacher's objectness.

    `side` is that of the pictures in pixels.
    """
    pictures, count = teacher.valid.shape
    boxes, objectness, classes, valid = (part.flatten(0, 1) for part in teacher)
    batch_index = torch.arange(pictures, device=boxes.device)[:, None].expand(-1, count).flatten()
    assignment = _first_trained(assign(boxes, batch_index, pictures, side, valid), pictures)
    predictions = assignment.select(student)
    weight = objectness[assignment.objects] * assignment.trained
    box = complete_iou_loss(predictions.boxes, boxes[assignment.objects])
    class_loss = binary_cross_entropy_with_logits(predictions.classes, classes[assignment.objects], reduction="none").sum(dim=1)
    loss: Tensor = (weight * (box + class_loss)).sum() / reduce_mean(weight.sum(), min_sum=1.0)
    return loss


def add_detections(batch: Batch, heads: dict[int, Tensor], anchors: Anchors) -> Batch:
    """The batch with the objects that the teacher's `heads` detect in its pictures without labels, as if they were labels."""
    if not batch.unlabelled:
        return batch
    first = len(batch.pictures) - batch.unlabelled
    candidates = flatten_heads({stride: head[first:] for stride, head in heads.items()}, anchors)
    found_boxes, found_labels, pictures = teacher_detections(candidates).objects()
    columns = zip(batch[1:4], (found_boxes, found_labels, pictures + first), strict=True)
    boxes, labels, batch_index = (torch.cat(pair) for pair in columns)
    return Batch(batch.pictures, boxes, labels, batch_index, batch.maps)


def _first_trained(assignment: Assignment, pictures: int) -> Assignment:
    """Up to `MAX_PAIRS` pairs of each picture, those that are trained before the others: the better detection first."""
    trained = assignment.trained.view(pictures, -1)
    pairs = trained.shape[1]
    order = torch.arange(2 * pairs, pairs, -1, device=trained.device) * trained
    first = order.topk(min(MAX_PAIRS, pairs), dim=1).indices + pairs * torch.arange(pictures, device=trained.device)[:, None]
    return Assignment(*(part[first.flatten()] for part in assignment))


@torch.no_grad()
def teacher_detections(candidates: Candidates) -> TeacherDetections:
    """The objects that the teacher's candidates detect."""
    logits, places = candidates.objectness.topk(min(MAX_CANDIDATES, candidates.raw.shape[1]), dim=1)
    pictures = torch.arange(len(places), device=places.device)[:, None]
    # a score is at most its objectness
    scores = logits.sigmoid() * candidates.classes[pictures, places].amax(dim=2).sigmoid()
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    found = candidates.at(pictures, places.gather(1, order))
    boxes = found.boxes
    valid = _suppress(boxes) & (scores > CONFIDENCE)
    return TeacherDetections(boxes, found.objectness.sigmoid(), found.classes.sigmoid(), valid)


def _suppress(boxes: Tensor) -> Tensor:
    """Which boxes [B, T, 4], best first, non-maximum suppression keeps in each picture, [B, T]; torchvision's waits for the device.

    A box is kept if no better one that is kept overlaps it. Each round decides the boxes whose better ones are decided.
    """
    worse = (iou(boxes[:, :, None], boxes[:, None]) > NMS_IOU).triu(1).to(boxes.dtype)  # [B, T, T] that each box overlaps
    kept = boxes.new_ones((len(boxes), 1, boxes.shape[1]))
    for _ in range(SUPPRESSION_ROUNDS):
        kept = (kept @ worse == 0).to(boxes.dtype)
    return kept[:, 0] > 0
