"""Anchors: the box shapes that a detector's heads start from, fitted to the training boxes by k-means."""

import numpy as np
from numpy.typing import NDArray

from kd.model import darknet

Sizes = NDArray[np.float64]

STRIDES = {"yolov3": (8, 16, 32), "yolov3-tiny": (16, 32)}
PER_STRIDE = 3
COCO_SIDE = 416
COCO_ANCHORS = {"yolov3": darknet.COCO_ANCHORS["yolov3"], "yolov3-tiny": darknet.TINY_CFG_ANCHORS}
RESTARTS, ROUNDS, MOST_BOXES = 5, 50, 10_000


def fitted_anchors(sizes: Sizes) -> dict[str, dict[str, list[list[float]]]]:
    """Anchors per architecture and stride, fitted to `sizes` (n, 2), widths and heights in pixels of the networks' input."""
    return {name: _by_stride(kmeans(sizes, PER_STRIDE * len(strides)), strides) for name, strides in STRIDES.items()}


def coco_anchors(image_size: int) -> dict[str, dict[str, list[list[float]]]]:
    """The published anchors of COCO, scaled to a square input of `image_size` pixels."""
    scale = image_size / COCO_SIDE
    shapes = {name: np.concatenate([anchors[stride] for stride in sorted(anchors)]) for name, anchors in COCO_ANCHORS.items()}
    return {name: _by_stride(shapes[name] * scale, strides) for name, strides in STRIDES.items()}


def kmeans(sizes: Sizes, count: int, seed: int = 0) -> Sizes:
    """`count` centres (count, 2) of `sizes` (n, 2), n >= 1, by area; the distance is 1 - IoU of boxes with one centre.

    The mean of a cluster does not minimise that distance, so the best round of several starts is kept, not the last.
    """
    distinct = np.unique(sizes, axis=0)
    if len(distinct) <= count:
        return _by_area(_spread(distinct, count))
    rng = np.random.default_rng(seed)
    if len(sizes) > MOST_BOXES:
        sizes = sizes[rng.choice(len(sizes), MOST_BOXES, replace=False)]
    candidates = [centres for _ in range(RESTARTS) for centres in _rounds(sizes, count, rng)]
    return _by_area(max(candidates, key=lambda centres: mean_best_iou(sizes, centres)))


def mean_best_iou(sizes: Sizes, centres: Sizes) -> float:
    """How well `centres` (k, 2) cover `sizes` (n, 2): the mean over sizes of the IoU with their nearest centre, 0 to 1."""
    return float(_iou(sizes, centres).max(axis=1).mean())


def _rounds(sizes: Sizes, count: int, rng: np.random.Generator) -> list[Sizes]:
    """The centres of every round of one start, until the clusters stay as they are."""
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
    """k-means++: each further centre is drawn with a probability that grows with its distance from those before."""
    centres = sizes[rng.integers(len(sizes), size=1)]
    while len(centres) < count:
        distance = (1 - _iou(sizes, centres).max(axis=1)).clip(0) ** 2
        weights = distance / distance.sum() if distance.sum() > 0 else None
        centres = np.concatenate([centres, sizes[rng.choice(len(sizes), size=1, p=weights)]])
    return centres


def _iou(sizes: Sizes, centres: Sizes) -> Sizes:
    """IoU (n, k) of boxes that share their centre."""
    shared = np.minimum(sizes[:, None], centres[None]).prod(axis=2)
    iou: Sizes = shared / (sizes.prod(axis=1)[:, None] + centres.prod(axis=1)[None] - shared)
    return iou


def _spread(distinct: Sizes, count: int) -> Sizes:
    """Too few sizes for `count` centres: all of them, then all of them a quarter larger, and so on."""
    copies = -(-count // len(distinct))
    return np.concatenate([distinct * 1.25**copy for copy in range(copies)])[:count]


def _by_area(centres: Sizes) -> Sizes:
    return centres[np.lexsort((centres[:, 0], centres.prod(axis=1)))]


def _by_stride(centres: Sizes, strides: tuple[int, ...]) -> dict[str, list[list[float]]]:
    groups = centres.round(2).reshape(len(strides), PER_STRIDE, 2).tolist()
    return {str(stride): group for stride, group in zip(strides, groups, strict=True)}
