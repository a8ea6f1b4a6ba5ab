"""From raw heads to boxes (YOLOv3, section 2.1) and from candidate boxes to detections.

Candidates are flattened in the order of the strides (ascending), then anchor, row, column: `offsets` tells where each
stride begins. Their boxes are decoded when they are asked for, because a loss needs those of few.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from kd.data.anchors import Anchors

LARGEST_LOG_SIZE = 6.0
"""exp(6), about 400 anchors wide: keeps a wild prediction finite."""


class Candidates(NamedTuple):
    """What anchors predict: all of a batch, [B, P], or chosen ones, [N].

    Attributes:
        raw: [..., 5 + K] t_x, t_y, t_w, t_h, objectness and class logits.
        priors: [..., 5] the cell's column and row, its stride, the anchor's width and height; the last three in pixels.
    """

    raw: Tensor
    priors: Tensor

    @property
    def boxes(self) -> Tensor:
        """[..., 4] (x0, y0, x1, y1) in pixels of the square: b_xy = (sigmoid(t_xy) + cell) * stride, b_wh = anchor * exp(t_wh)."""
        center = (self.raw[..., 0:2].sigmoid() + self.priors[..., 0:2]) * self.priors[..., 2:3]
        half = self.raw[..., 2:4].clamp(max=LARGEST_LOG_SIZE).exp() * self.priors[..., 3:5] / 2
        return torch.cat([center - half, center + half], dim=-1)

    @property
    def objectness(self) -> Tensor:
        """[...] logits."""
        return self.raw[..., 4]

    @property
    def classes(self) -> Tensor:
        """[..., K] logits."""
        return self.raw[..., 5:]

    def at(self, pictures: Tensor, places: Tensor) -> "Candidates":
        """Those at indices [N] of a batch's."""
        return Candidates(self.raw[pictures, places], self.priors[places])


class Detections(NamedTuple):
    """What was found in one picture, best first: boxes [M, 4] in pixels, scores [M] in 0..1, labels [M]."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def candidates(heads: dict[int, Tensor], anchors: Anchors) -> Candidates:
    """Of heads [B, 3 * (5 + K), S / stride, S / stride]; in float32."""
    strides = sorted(heads)
    raw = torch.cat([_flattened(heads[stride]) for stride in strides], dim=1).float()
    return Candidates(raw, torch.cat([_priors(heads[stride], stride, anchors[stride]) for stride in strides]))


def stride_offsets(image_size: int, strides: list[int]) -> dict[int, int]:
    """Where the candidates of each stride begin."""
    starts, start = {}, 0
    for stride in sorted(strides):
        starts[stride] = start
        start += 3 * (image_size // stride) ** 2
    return starts


def decode_boxes(heads: dict[int, Tensor], anchors: Anchors) -> tuple[Tensor, Tensor]:
    """Boxes [B, P, 4] in pixels and class scores [B, P, K] = P(object) * P(class | object)."""
    found = candidates(heads, anchors)
    return found.boxes, found.objectness.sigmoid()[..., None] * found.classes.sigmoid()


def postprocess(boxes: Tensor, scores: Tensor, confidence: float, nms_iou: float, max_detections: int, before_nms: int = 4096) -> Detections:
    """The detections of one picture: scores above `confidence`, non-maximum suppression per class, best `most`.

    Args:
        boxes: [P, 4] candidates.
        scores: [P, K] class scores; one box may be found as several classes.
        confidence: least score, exclusive.
        nms_iou: overlap above which the weaker box of a class goes.
        most: most detections.
        before_nms: most candidates that enter the suppression.
    """
    batch_index, labels = (scores > confidence).nonzero(as_tuple=True)
    strengths, order = scores[batch_index, labels].sort(descending=True, stable=True)
    batch_index, labels, strengths = batch_index[order[:before_nms]], labels[order[:before_nms]], strengths[:before_nms]
    chosen = boxes[batch_index]
    kept = nms_per_group(chosen, strengths, labels, nms_iou)[:max_detections]
    return Detections(chosen[kept], strengths[kept], labels[kept])


def nms_per_group(boxes: Tensor, scores: Tensor, groups: Tensor, nms_iou: float) -> Tensor:
    """Indices of what is left of boxes [N, 4], best first; a box suppresses weaker ones of its own group [N] alone."""
    # batched_nms keeps the groups apart by shifting their boxes, which fails for negative coordinates
    positive = boxes - boxes.amin(dim=0)[:2].repeat(2) if len(boxes) else boxes
    left: Tensor = batched_nms(positive, scores, groups, nms_iou)
    return left


def _flattened(head: Tensor) -> Tensor:
    """[B, 3 * (5 + K), H, W] as [B, 3 * H * W, 5 + K]."""
    batch, channels, rows, columns = head.shape
    return head.view(batch, 3, channels // 3, rows, columns).permute(0, 1, 3, 4, 2).flatten(1, 3)


def _priors(head: Tensor, stride: int, anchors: list[tuple[float, float]]) -> Tensor:
    """What is known of each candidate of a head beforehand, [3 * H * W, 5]."""
    rows, columns = head.shape[2:]
    y, x = torch.meshgrid(torch.arange(rows, device=head.device), torch.arange(columns, device=head.device), indexing="ij")
    cells = torch.stack([x, y, torch.full_like(x, stride)], dim=-1).float()
    shapes = torch.tensor(anchors, device=head.device)[:, None, None].expand(-1, rows, columns, -1)
    return torch.cat([cells.expand(3, -1, -1, -1), shapes], dim=-1).flatten(0, 2)
