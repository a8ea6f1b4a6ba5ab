"""Anchors: the box shapes that a detector's heads start from, fitted to the training boxes by k-means."""

import numpy as np
from numpy.typing import NDArray

from kd.data import anchors

Sizes = NDArray[np.float64]

STRIDES = {"yolov3": (8, 16, 32), "yolov3-tiny": (16, 32)}
PER_STRIDE = 3
COCO_SIDE = 416
COCO_ANCHORS = {"yolov3": anchors.COCO_ANCHORS["yolov3"], "yolov3-tiny": anchors.TINY_CFG_ANCHORS}
RESTARTS, ROUNDS, MOST_BOXES = 5, 50, 10_000


def fitted_anchors(sizes: Sizes) -> dict[str, dict[str, list[list[float]]]]:
    """Anchors per architecture and stride, fitted to `sizes` (n, 2), widths and heights in pixels of the networks' input."""
    return {name: _by_stride(kmeans(sizes, PER_STRIDE * len(strides)), strides) for name, strides in STRIDES.items()}


def coco_anchors(image_size: int) -> dict[str, dict[str, list[list[float]]]]:
    """The published anchors of COCO, scaled to a square input of `image_size` pixels."""
    scale = image_size / COCO_SIDE
    shapes = {name: np.concatenate([by_stride[stride] for stride in sorted(by_stride)]) for name, by_stride in COCO_ANCHORS.items()}
    return {name: _by_stride(shapes[name] * scale, strides) for name, strides in STRIDES.items()}


def kmeans(sizes: Sizes, count: int, seed: int = 0) -> Sizes:
    """`count` centers (count, 2) of `sizes` (n, 2), n >= 1, by area; the distance is 1 - IoU of boxes with one center.

    The mean of a cluster does not minimise that distance, so the best round of several starts is kept, not the last.
    """
    distinct = np.unique(sizes, axis=0)
    if len(distinct) <= count:
        return _by_area(_spread(distinct, count))
    rng = np.random.default_rng(seed)
    if len(sizes) > MOST_BOXES:
        sizes = sizes[rng.choice(len(sizes), MOST_BOXES, replace=False)]
    candidates = [centers for _ in range(RESTARTS) for centers in _rounds(sizes, count, rng)]
    return _by_area(max(candidates, key=lambda centers: mean_best_iou(sizes, centers)))


def mean_best_iou(sizes: Sizes, centers: Sizes) -> float:
    """How well `centers` (k, 2) cover `sizes` (n, 2): the mean over sizes of the IoU with their nearest center, 0 to 1."""
    return float(_iou(sizes, centers).max(axis=1).mean())


def _rounds(sizes: Sizes, count: int, rng: np.random.Generator) -> list[Sizes]:
    """The centers of every round of one start, until the clusters stay as they are."""
    rounds = [_start(sizes, count, rng)]
    nearest = np.full(len(sizes), -1)
    for _ in range(ROUNDS):
        previous, nearest = nearest, _iou(sizes, rounds[-1]).argmax(axis=1)
        if np.array_equal(previous, nearest):
            break
        clusters = [sizes[nearest == index] for index in range(count)]
        rounds.append(np.stack([c.mean(axis=0) if len(c) else old for c, old in zip(clusters, rounds[-1], strict=True)]))
    return rounds


def _start(sizes: Sizes, count: int, rng: np.random.Generator) -> Sizes:
    """k-means++: each further center is drawn with a probability that grows with its distance from those before."""
    centers = sizes[rng.integers(len(sizes), size=1)]
    while len(centers) < count:
        distance = (1 - _iou(sizes, centers).max(axis=1)).clip(0) ** 2
        weights = distance / distance.sum() if distance.sum() > 0 else None
        centers = np.concatenate([centers, sizes[rng.choice(len(sizes), size=1, p=weights)]])
    return centers


def _iou(sizes: Sizes, centers: Sizes) -> Sizes:
    """IoU (n, k) of boxes that share their center."""
    shared = np.minimum(sizes[:, None], centers[None]).prod(axis=2)
    iou: Sizes = shared / (sizes.prod(axis=1)[:, None] + centers.prod(axis=1)[None] - shared)
    return iou


def _spread(distinct: Sizes, count: int) -> Sizes:
    """Too few sizes for `count` centers: all of them, then all of them a quarter larger, and so on."""
    copies = -(-count // len(distinct))
    return np.concatenate([distinct * 1.25**copy for copy in range(copies)])[:count]


def _by_area(centers: Sizes) -> Sizes:
    return centers[np.lexsort((centers[:, 0], centers.prod(axis=1)))]


def _by_stride(centers: Sizes, strides: tuple[int, ...]) -> dict[str, list[list[float]]]:
    groups = centers.round(2).reshape(len(strides), PER_STRIDE, 2).tolist()
    return {str(stride): group for stride, group in zip(strides, groups, strict=True)}
