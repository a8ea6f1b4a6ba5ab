"""The detection loss as loops over pictures, objects and anchors, and random batches for it."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
from torchvision.ops import box_iou, complete_box_iou_loss

from kd.data.anchors import Anchors
from kd.data.batch import Batch
from kd.detection.assignment import SHAPE_IOU
from kd.detection.decode import Candidates
from kd.detection.loss import IGNORE_IOU, WEIGHTS


def reference_assignment(batch: Batch, anchors: Anchors, side: int) -> dict[tuple[int, int], int]:
    """The object that each (picture, candidate) is trained on."""
    found: dict[tuple[int, int], tuple[float, int]] = {}
    for number, (picture, box) in enumerate(zip(batch.batch_index.tolist(), batch.boxes.tolist(), strict=True)):
        pairs = list(_pairs(box, anchors, side))
        best = max(overlap for overlap, _ in pairs)
        first = next(i for i, (overlap, _) in enumerate(pairs) if overlap == best)
        for i, (overlap, candidate) in enumerate(pairs):
            if (overlap > SHAPE_IOU or i == first) and overlap > found.get((picture, candidate), (-1.0, 0))[0]:
                found[picture, candidate] = overlap, number
    return {key: number for key, (_, number) in found.items()}


def _pairs(box: list[float], anchors: Anchors, side: int) -> Iterator[tuple[float, int]]:
    """The overlap of a box with each anchor, and the candidate."""
    start = 0
    width, height = box[2] - box[0], box[3] - box[1]
    for stride in sorted(anchors):
        cells = side // stride
        column, row = (min(max(int((box[i] + box[i + 2]) / 2 / stride), 0), cells - 1) for i in (0, 1))
        for w, h in anchors[stride]:
            intersection = min(width, w) * min(height, h)
            yield intersection / (width * height + w * h - intersection), start + row * cells + column
            start += cells * cells


def reference_loss(candidates: Candidates, batch: Batch, anchors: Anchors, side: int) -> dict[str, Tensor]:
    assigned = reference_assignment(batch, anchors, side)
    terms = {name: candidates.raw.new_zeros(()) for name in WEIGHTS}
    classes = candidates.classes.shape[-1]
    for (picture, candidate), number in assigned.items():
        box = candidates.boxes[picture, candidate]
        terms["box"] = terms["box"] + complete_box_iou_loss(box, batch.boxes[number])
        label = one_hot(batch.labels[number], classes).to(box.dtype)
        terms["class"] = terms["class"] + binary_cross_entropy_with_logits(candidates.classes[picture, candidate], label, reduction="sum")
    for picture, boxes in enumerate(candidates.boxes.detach()):
        overlaps = box_iou(boxes, batch.boxes[batch.batch_index == picture])
        for candidate, logit in enumerate(candidates.objectness[picture]):
            target = torch.zeros_like(logit)
            if (picture, candidate) in assigned:
                loss = complete_box_iou_loss(boxes[candidate], batch.boxes[assigned[picture, candidate]])
                target = (1 - loss).clamp(0, 1)
            elif any(overlap > IGNORE_IOU for overlap in overlaps[candidate]):
                continue
            terms["objectness"] = terms["objectness"] + binary_cross_entropy_with_logits(logit, target)
    return {name: WEIGHTS[name] * term / max(len(assigned), 1) for name, term in terms.items()}


def random_batch(counts: list[int], classes: int, side: int, seed: int, dtype: torch.dtype = torch.float32) -> Batch:
    """Pictures with `counts` objects; every third is a copy of the one before, every other third has its center."""
    source = torch.Generator().manual_seed(seed)
    total = sum(counts)
    center, sides = torch.rand(total, 2, generator=source), 0.02 + 0.6 * torch.rand(total, 2, generator=source) ** 2
    for i in range(1, total):
        if i % 3:
            center[i] = center[i - 1]
        if i % 3 == 1:
            sides[i] = sides[i - 1]
    boxes = torch.cat([center - sides / 2, center + sides / 2], dim=1).clamp(0, 1).to(dtype) * side
    labels = torch.randint(classes, (total,), generator=source)
    batch_index = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Batch(torch.zeros(len(counts), 3, side, side), boxes, labels, batch_index, {})
