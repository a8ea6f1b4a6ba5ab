"""Overlap of boxes, (x0, y0, x1, y1), with the same number of operations for any number of boxes and without synchronizing with the device.

torchvision's losses select the boxes that overlap, so that the host has to wait for their number.
"""

import math

import torch
from torch import Tensor

EPSILON = 1e-7


def iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union [...] of boxes [..., 4] and [..., 4], which are broadcast."""
    intersection, union = _intersection_and_union(boxes, others)
    return intersection / union


def complete_iou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """1 - IoU + d^2 / c^2 + alpha * v, [N] of boxes [N, 4]; equations 7 to 11 of Zheng et al., "Distance-IoU Loss", 2020.

    d is the distance of the centers, c the diagonal of the smallest box around both, v compares the ratios of the sides.
    """
    intersection, union = _intersection_and_union(boxes, targets)
    overlap = intersection / (union + EPSILON)
    outer = torch.maximum(boxes[:, 2:], targets[:, 2:]) - torch.minimum(boxes[:, :2], targets[:, :2])
    shift = (boxes[:, :2] + boxes[:, 2:] - targets[:, :2] - targets[:, 2:]) / 2
    distance = shift.square().sum(dim=1) / (outer.square().sum(dim=1) + EPSILON)
    angle, target_angle = (torch.atan((b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1])) for b in (boxes, targets))
    ratio = (4 / math.pi**2) * (target_angle - angle).square()
    alpha = (ratio / (1 - overlap + ratio + EPSILON)).detach()
    return 1 - overlap + distance + alpha * ratio


def _intersection_and_union(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    # on a CPU, contiguous coordinates and results in place are several times as fast
    (x0, y0, x1, y1), (left, top, right, bottom) = (b.movedim(-1, 0).contiguous().unbind(0) for b in (boxes, others))
    width = torch.minimum(x1, right).sub_(torch.maximum(x0, left)).relu_()
    height = torch.minimum(y1, bottom).sub_(torch.maximum(y0, top)).relu_()
    intersection = width * height
    return intersection, ((x1 - x0) * (y1 - y0) + (right - left) * (bottom - top)).sub_(intersection)
