"""From raw heads to boxes (YOLOv3, section 2.1) and from candidate boxes to detections.

Candidates are flattened in the order of the strides (ascending), then anchor, row, column: `offsets` tells where each
stride begins.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from kd.model.spec import Anchors

LARGEST_LOG_SIZE = 6.0
"""exp(6), about 400 anchors wide: keeps a wild prediction finite."""


class Candidates(NamedTuple):
    """Every anchor's prediction.

    Attributes:
        boxes: [B, P, 4] (x0, y0, x1, y1) in pixels of the square.
        objectness: [B, P] logits.
        classes: [B, P, K] logits.
    """

    boxes: Tensor
    objectness: Tensor
    classes: Tensor


class Detections(NamedTuple):
    """What was found in one picture, best first: boxes [M, 4] in pixels, scores [M] in 0..1, labels [M]."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def candidates(heads: dict[int, Tensor], anchors: Anchors) -> Candidates:
    """Decode heads [B, 3 * (5 + K), S / stride, S / stride]: b_xy = (sigmoid(t_xy) + cell) * stride, b_wh = anchor * exp(t_wh)."""
    parts = [_level(heads[stride].float(), stride, anchors[stride]) for stride in sorted(heads)]
    return Candidates(*(torch.cat(level, dim=1) for level in zip(*parts, strict=True)))


def offsets(image_size: int, strides: list[int]) -> dict[int, int]:
    """Where the candidates of each stride begin."""
    starts, start = {}, 0
    for stride in sorted(strides):
        starts[stride] = start
        start += 3 * (image_size // stride) ** 2
    return starts


def decode(heads: dict[int, Tensor], anchors: Anchors) -> tuple[Tensor, Tensor]:
    """Boxes [B, P, 4] in pixels and class scores [B, P, K] = P(object) * P(class | object)."""
    found = candidates(heads, anchors)
    return found.boxes, found.objectness.sigmoid()[..., None] * found.classes.sigmoid()


def select(boxes: Tensor, scores: Tensor, confidence: float, nms_iou: float, most: int, before_nms: int = 4096) -> Detections:
    """The detections of one picture: scores above `confidence`, non-maximum suppression per class, best `most`.

    Args:
        boxes: [P, 4] candidates.
        scores: [P, K] class scores; one box may be found as several classes.
        confidence: least score, exclusive.
        nms_iou: overlap above which the weaker box of a class goes.
        most: most detections.
        before_nms: most candidates that enter the suppression.
    """
    owners, labels = (scores > confidence).nonzero(as_tuple=True)
    strengths, order = scores[owners, labels].sort(descending=True, stable=True)
    owners, labels, strengths = owners[order[:before_nms]], labels[order[:before_nms]], strengths[:before_nms]
    chosen = boxes[owners]
    # batched_nms keeps the classes apart by shifting their boxes, which fails for negative coordinates
    positive = chosen - chosen.amin(dim=0)[:2].repeat(2) if len(chosen) else chosen
    kept = batched_nms(positive, strengths, labels, nms_iou)[:most]
    return Detections(chosen[kept], strengths[kept], labels[kept])


def _level(head: Tensor, stride: int, anchors: list[tuple[float, float]]) -> tuple[Tensor, Tensor, Tensor]:
    batch, channels, rows, columns = head.shape
    raw = head.view(batch, 3, channels // 3, rows, columns).permute(0, 1, 3, 4, 2)
    y, x = torch.meshgrid(torch.arange(rows, device=head.device), torch.arange(columns, device=head.device), indexing="ij")
    centre = (raw[..., 0:2].sigmoid() + torch.stack([x, y], dim=-1)) * stride
    half = raw[..., 2:4].clamp(max=LARGEST_LOG_SIZE).exp() * raw.new_tensor(anchors)[None, :, None, None] / 2
    boxes = torch.cat([centre - half, centre + half], dim=-1)
    return boxes.flatten(1, 3), raw[..., 4].flatten(1), raw[..., 5:].flatten(1, 3)
