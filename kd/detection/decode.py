"""From raw heads to boxes (YOLOv3, section 2.1), and from boxes to detections.

Candidates are flattened in the order of the strides (ascending), then anchor, row, column. Boxes are decoded on access, because a
loss needs those of few candidates.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from kd.data.anchors import Anchors

MAX_LOG_SIZE = 6.0
"""Limits a box to exp(6), about 400, times its anchor, so that extreme predictions stay finite."""


class Candidates(NamedTuple):
    """The raw predictions at all anchors: all of a batch, [B, P], or a selection, [N].

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
        half = self.raw[..., 2:4].clamp(max=MAX_LOG_SIZE).exp() * self.priors[..., 3:5] / 2
        return torch.cat([center - half, center + half], dim=-1)

    @property
    def objectness(self) -> Tensor:
        """[...] logits."""
        return self.raw[..., 4]

    @property
    def classes(self) -> Tensor:
        """[..., K] logits."""
        return self.raw[..., 5:]

    def first_pictures(self, pictures: int) -> "Candidates":
        """The candidates of the first `pictures` of a batch."""
        return self._replace(raw=self.raw[:pictures])

    def at(self, pictures: Tensor, indices: Tensor) -> "Candidates":
        """The candidates of a batch at picture indices [N] and candidate indices [N]."""
        return Candidates(self.raw[pictures, indices], self.priors[indices])


class Detections(NamedTuple):
    """The detections in one picture, best first: boxes [M, 4] in pixels, scores [M] in 0..1, labels [M]."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def flatten_heads(heads: dict[int, Tensor], anchors: Anchors, priors: Tensor | None = None) -> Candidates:
    """The candidates of heads [B, 3 * (5 + K), S / stride, S / stride], in float32.

    `priors` are those of a `PriorCache`; without them, each call copies the anchors to the device.
    """
    strides = sorted(heads)
    raw = torch.cat([_flatten(heads[stride]) for stride in strides], dim=1).float()
    if priors is None:
        priors = torch.cat([_priors(heads[stride].shape[-1], stride, anchors[stride], raw.device) for stride in strides])
    return Candidates(raw, priors)


def candidate_priors(anchors: Anchors, side: int) -> Tensor:
    """[P, 5] the `priors` of all candidates in pictures of this `side`, see `Candidates`."""
    return torch.cat([_priors(side // stride, stride, anchors[stride]) for stride in sorted(anchors)])


class PriorCache:
    """`candidate_priors` for heads, on their device; those of each side of the pictures are computed once."""

    def __init__(self, anchors: Anchors) -> None:
        self.anchors = anchors
        self._known: dict[int, Tensor] = {}

    def get(self, heads: dict[int, Tensor]) -> Tensor:
        """[P, 5] the priors of the candidates of `heads`, one for each stride of the anchors."""
        stride, head = next(iter(heads.items()))
        side = stride * head.shape[-1]
        if side not in self._known:
            self._known[side] = candidate_priors(self.anchors, side).to(head.device)
        return self._known[side]


def decode_boxes(heads: dict[int, Tensor], anchors: Anchors) -> tuple[Tensor, Tensor]:
    """Boxes [B, P, 4] in pixels and class scores [B, P, K] = P(object) * P(class | object)."""
    candidates = flatten_heads(heads, anchors)
    return candidates.boxes, candidates.objectness.sigmoid()[..., None] * candidates.classes.sigmoid()


def postprocess(
    boxes: Tensor, scores: Tensor, confidence: float, nms_iou: float, max_detections: int, max_candidates: int = 4096
) -> Detections:
    """The detections of one picture: scores above `confidence`, non-maximum suppression per class, then the best ones.

    Args:
        boxes: [P, 4] boxes of all candidates.
        scores: [P, K] class scores; one box may be detected as several classes.
        confidence: lower bound of the scores, exclusive.
        nms_iou: IoU above which the lower-scoring of two boxes of a class is removed.
        max_detections: maximum number of detections.
        max_candidates: maximum number of candidates for non-maximum suppression.
    """
    indices, labels = (scores > confidence).nonzero(as_tuple=True)
    top, order = scores[indices, labels].sort(descending=True, stable=True)
    indices, labels, top = indices[order[:max_candidates]], labels[order[:max_candidates]], top[:max_candidates]
    chosen = boxes[indices]
    kept = nms_per_group(chosen, top, labels, nms_iou)[:max_detections]
    return Detections(chosen[kept], top[kept], labels[kept])


def nms_per_group(boxes: Tensor, scores: Tensor, groups: Tensor, nms_iou: float) -> Tensor:
    """Indices of the boxes [N, 4] that non-maximum suppression keeps within each group [N], best first."""
    # batched_nms separates the groups by shifting their boxes, which fails for negative coordinates
    shifted = boxes - boxes.amin(dim=0)[:2].repeat(2) if len(boxes) else boxes
    kept: Tensor = batched_nms(shifted, scores, groups, nms_iou)
    return kept


def _flatten(head: Tensor) -> Tensor:
    """[B, 3 * (5 + K), H, W] to [B, 3 * H * W, 5 + K]."""
    batch, channels, rows, columns = head.shape
    return head.view(batch, 3, channels // 3, rows, columns).permute(0, 1, 3, 4, 2).flatten(1, 3)


def _priors(side: int, stride: int, anchors: list[tuple[float, float]], device: torch.device | None = None) -> Tensor:
    """Cell, stride and anchor of each candidate of a head with side x side cells, [3 * side^2, 5]."""
    y, x = torch.meshgrid(torch.arange(side, device=device), torch.arange(side, device=device), indexing="ij")
    cells = torch.stack([x, y, torch.full_like(x, stride)], dim=-1).float()
    shapes = torch.tensor(anchors, dtype=torch.float32, device=device)[:, None, None].expand(-1, side, side, -1)
    return torch.cat([cells.expand(3, -1, -1, -1), shapes], dim=-1).flatten(0, 2)
