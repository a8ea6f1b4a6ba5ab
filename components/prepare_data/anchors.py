"""Anchors for the detection heads: fitted to the training boxes by k-means, or the published ones of COCO."""

import numpy as np
from numpy.typing import NDArray

from kd.data.anchors import COCO_ANCHORS, TINY_CFG_ANCHORS

Sizes = NDArray[np.float64]
AnchorsByArchitecture = dict[str, dict[str, list[list[float]]]]
"""By architecture and stride: [width, height] of each anchor in pixels of the networks' square input."""

ANCHORS_PER_STRIDE = 3
COCO_IMAGE_SIZE = 416
PUBLISHED = {"yolov3": COCO_ANCHORS["yolov3"], "yolov3-tiny": TINY_CFG_ANCHORS}
STRIDES = {name: sorted(by_stride) for name, by_stride in PUBLISHED.items()}
RESTARTS, MAX_ITERATIONS, MAX_BOXES = 5, 50, 10_000


def kmeans_anchors(sizes: Sizes) -> AnchorsByArchitecture:
    """Anchors fitted to `sizes` (n, 2), the widths and heights of boxes in pixels of the networks' square input."""
    return {name: _by_stride(kmeans(sizes, ANCHORS_PER_STRIDE * len(strides)), strides) for name, strides in STRIDES.items()}


def coco_anchors(image_size: int) -> AnchorsByArchitecture:
    """The published anchors of COCO, scaled to a square input of `image_size` pixels."""
    scale = image_size / COCO_IMAGE_SIZE
    return {name: {str(s): (np.array(a) * scale).round(2).tolist() for s, a in by_stride.items()} for name, by_stride in PUBLISHED.items()}


def kmeans(sizes: Sizes, count: int, seed: int = 0) -> Sizes:
    """`count` cluster centers (count, 2) of `sizes` (n, 2), n >= 1, sorted by area. The distance is 1 - IoU of centered boxes.

    The mean of a cluster does not minimize this distance, so the best centers of all iterations and restarts are returned.
    """
    rng = np.random.default_rng(seed)
    if len(sizes) > MAX_BOXES:
        sizes = sizes[rng.choice(len(sizes), MAX_BOXES, replace=False)]
    distinct = np.unique(sizes, axis=0)
    if len(distinct) <= count:
        return _sort_by_area(_repeat_larger(distinct, count))
    candidates = [centers for _ in range(RESTARTS) for centers in _iterate(sizes, count, rng)]
    return _sort_by_area(max(candidates, key=lambda centers: mean_best_iou(sizes, centers)))


def mean_best_iou(sizes: Sizes, centers: Sizes) -> float:
    """The mean IoU, 0 to 1, of `sizes` (n, 2) with their nearest of `centers` (k, 2)."""
    return float(_iou(sizes, centers).max(axis=1).mean())


def _iterate(sizes: Sizes, count: int, rng: np.random.Generator) -> list[Sizes]:
    """The centers after each iteration of one run of k-means, until the clusters no longer change."""
    iterations = [_initialize(sizes, count, rng)]
    nearest = np.full(len(sizes), -1)
    for _ in range(MAX_ITERATIONS):
        previous, nearest = nearest, _iou(sizes, iterations[-1]).argmax(axis=1)
        if np.array_equal(previous, nearest):
            break
        clusters = [sizes[nearest == index] for index in range(count)]
        iterations.append(np.stack([c.mean(axis=0) if len(c) else old for c, old in zip(clusters, iterations[-1], strict=True)]))
    return iterations


def _initialize(sizes: Sizes, count: int, rng: np.random.Generator) -> Sizes:
    """k-means++: draw each center with a probability proportional to its squared distance from the centers before it."""
    centers = sizes[rng.integers(len(sizes), size=1)]
    while len(centers) < count:
        distance = (1 - _iou(sizes, centers).max(axis=1)).clip(0) ** 2
        weights = distance / distance.sum() if distance.sum() > 0 else None
        centers = np.concatenate([centers, sizes[rng.choice(len(sizes), size=1, p=weights)]])
    return centers


def _iou(sizes: Sizes, centers: Sizes) -> Sizes:
    """IoU (n, k) of boxes with the same center."""
    # several times as fast as a product along the last axis
    intersection = np.minimum(sizes[:, None, 0], centers[:, 0]) * np.minimum(sizes[:, None, 1], centers[:, 1])
    iou: Sizes = intersection / (sizes.prod(axis=1)[:, None] + centers.prod(axis=1) - intersection)
    return iou


def _repeat_larger(distinct: Sizes, count: int) -> Sizes:
    """`count` sizes from fewer: all of them, then all of them 25 % larger, and so on."""
    copies = -(-count // len(distinct))
    return np.concatenate([distinct * 1.25**copy for copy in range(copies)])[:count]


def _sort_by_area(centers: Sizes) -> Sizes:
    return centers[np.lexsort((centers[:, 0], centers.prod(axis=1)))]


def _by_stride(centers: Sizes, strides: list[int]) -> dict[str, list[list[float]]]:
    groups = centers.round(2).reshape(len(strides), ANCHORS_PER_STRIDE, 2).tolist()
    return {str(stride): group for stride, group in zip(strides, groups, strict=True)}
