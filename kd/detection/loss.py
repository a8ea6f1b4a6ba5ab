"""The detection loss: YOLOv3's three terms, with changes that make a stronger baseline.

As published, an object is predicted by the cell that contains its center. Unlike there, every anchor whose shape overlaps the
object by `SHAPE_IOU` is trained on it (the published network takes the best anchor only), boxes are trained with the complete
IoU loss (Zheng et al., 2020), and the target of objectness is the IoU of the predicted box.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from kd.data.anchors import Anchors
from kd.data.batch import Batch
from kd.detection.assignment import Assignment, TargetAssigner
from kd.detection.boxes import complete_iou_loss
from kd.detection.decode import Candidates, PriorCache, flatten_heads
from kd.detection.reduce_mean import reduce_mean

IGNORE_IOU = 0.6
"""Background candidates that overlap an object by more than this are ignored (section 2.1 of YOLOv3)."""
WEIGHTS = {"box": 3.0, "objectness": 1.0, "class": 3.0}


class DetectionLoss(nn.Module):
    """From candidates and a batch to the weighted terms of the loss. It has no parameters; its buffers are on the device of the heads.

    The number of assignments is averaged over the processes of a training, so that each object counts the same in all of them, unless
    `across_processes` is False: then a process can compute the loss alone.
    """

    def __init__(self, anchors: Anchors, across_processes: bool = True) -> None:
        super().__init__()
        self.across_processes = across_processes
        self.anchors, self.priors, self.assign = anchors, PriorCache(anchors), TargetAssigner(anchors)

    def candidates(self, heads: dict[int, Tensor]) -> Candidates:
        """`flatten_heads` with the anchors of this loss."""
        return flatten_heads(heads, self.anchors, self.priors.get(heads))

    def forward(self, candidates: Candidates, batch: Batch) -> dict[str, Tensor]:
        """The terms "box", "objectness" and "class", each a scalar: sums over the batch divided by the number of assignments.

        Candidates in pictures without labels are left out: they are neither objects nor background.
        """
        candidates = candidates.first_pictures(len(batch.pictures) - batch.unlabelled)
        assignment = self.assign(batch.boxes, batch.batch_index, len(candidates.raw), batch.pictures.shape[-1])
        trained = assignment.trained.to(candidates.raw.dtype)
        assigned = assignment.select(candidates)
        box_loss = complete_iou_loss(assigned.boxes, batch.boxes[assignment.objects])
        labels = batch.labels[assignment.objects, None] == torch.arange(assigned.classes.shape[-1], device=batch.labels.device)
        class_loss = binary_cross_entropy_with_logits(assigned.classes, labels.to(trained.dtype), reduction="none").sum(dim=1)
        terms = {
            "box": (box_loss * trained).sum(),
            "objectness": _objectness_loss(candidates, batch, assignment, (1 - box_loss.detach()).clamp(0, 1) * trained),
            "class": (class_loss * trained).sum(),
        }
        count = reduce_mean(trained.sum()) if self.across_processes else trained.sum()
        count = torch.where(count > 0, count, 1.0)
        return {name: WEIGHTS[name] * term / count for name, term in terms.items()}


def _objectness_loss(candidates: Candidates, batch: Batch, assignment: Assignment, target: Tensor) -> Tensor:
    """The sum over all candidates but those that overlap an object without being assigned to it; `target` is [N], 0 if not trained."""
    objectness = candidates.objectness.contiguous()
    keys = assignment.pictures * objectness.shape[1] + assignment.candidates
    targets, trained = (
        torch.zeros_like(objectness).flatten().scatter_reduce(0, keys, values, "amax").view_as(objectness)
        for values in (target, assignment.trained.to(target.dtype))
    )
    with torch.no_grad():
        ignored = overlapping_objects(candidates.boxes, batch) & (trained == 0)
    loss = binary_cross_entropy_with_logits(objectness, targets, reduction="none")
    return (loss * ~ignored).sum()


def overlapping_objects(boxes: Tensor, batch: Batch) -> Tensor:
    """[B, P] bool: which candidates overlap an object of their picture by more than `IGNORE_IOU`."""
    (x0, y0, x1, y1), (left, top, right, bottom) = boxes.unbind(-1), batch.boxes[:, :, None].unbind(1)
    area, own = (x1 - x0) * (y1 - y0), batch.batch_index
    # each object with all candidates of its picture, [M, P]; in place, because this is the largest part of the loss
    width = torch.minimum(x1[own], right).sub_(torch.maximum(x0[own], left)).clamp_(min=0)
    height = torch.minimum(y1[own], bottom).sub_(torch.maximum(y0[own], top)).clamp_(min=0)
    intersection = width.mul_(height)
    union = area[own].add_((right - left) * (bottom - top)).sub_(intersection)
    overlaps = intersection.div_(union) > IGNORE_IOU
    counts = boxes.new_zeros(boxes.shape[:2]).index_add_(0, batch.batch_index, overlaps.to(boxes.dtype))
    return counts > 0
