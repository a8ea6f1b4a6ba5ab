"""How sure a difference in mAP is: the paired bootstrap over test pictures (Efron, 1979).

A resample draws as many pictures as there are, with replacement; both models are scored on the same draw. Which detection
matches which object is settled inside a picture, so pycocotools matches once, and a resample is a vector of counts, how often
each picture was drawn: precision and recall are sums with these weights.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from kd.detection.scores import RECALLS

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
METRICS = ("map", "map50")
CHUNK = 50
"""Resamples at once: keeps memory to some megabytes for each thousand detections of a class."""


class Matches(NamedTuple):
    """The detections of one class on a split, best first, at the thresholds of IoU 0.50:0.05:0.95.

    Attributes:
        owners: [D] index of the picture that each was found in.
        correct: [10, D] whether it matches an object.
        ignored: [10, D] whether it lies on a crowd, and so counts neither way.
        objects: [P] objects in each picture.
    """

    image_index: NDArray[np.intp]
    correct: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: Counts


class Interval(NamedTuple):
    """A difference between two scores, and where it lies in all but the share 1 - confidence of the resamples on either side."""

    difference: float
    low: float
    high: float


def matches(evaluation: COCOeval) -> list[Matches]:
    """What an evaluation matched, class by class."""
    pictures = len(evaluation.params.imgIds)
    images = evaluation.evalImgs
    return [_of_class(images[start : start + pictures], len(evaluation.params.iouThrs)) for start in range(0, len(images), pictures)]


def paired_bootstrap(ours: list[Matches], theirs: list[Matches], resamples: int, confidence: float, seed: int = 0) -> dict[str, Interval]:
    """By metric, the difference `ours` - `theirs` with its interval.

    Args:
        ours: matches of one model.
        theirs: matches of the other on the same pictures.
        resamples: how many.
        confidence: of each end of the interval on its own: 0.95 leaves 5 % of the resamples below `low` and 5 % above `high`.
        seed: of the draws.
    """
    pictures = len(ours[0].objects)
    once = np.ones((1, pictures), dtype=np.int64)
    [exactly] = maps(ours, once) - maps(theirs, once)
    drawn = np.concatenate([maps(ours, counts) - maps(theirs, counts) for counts in _draws(pictures, resamples, seed)])
    low, high = np.quantile(drawn, [1 - confidence, confidence], axis=0)
    return {name: Interval(float(exactly[i]), float(low[i]), float(high[i])) for i, name in enumerate(METRICS)}


def maps(classes: list[Matches], counts: Counts) -> Floats:
    """mAP and mAP50 [R, 2] on resamples given as counts [R, P]; a class without objects in a resample is left out of its mean."""
    precision = np.stack([average_precision(found, counts) for found in classes])
    occurs = ~np.isnan(precision[:, :, :1])
    mean = np.where(occurs, precision, 0).sum(axis=0) / np.maximum(occurs.sum(axis=0), 1)
    return np.stack([mean.mean(axis=1), mean[:, 0]], axis=1)


def average_precision(found: Matches, counts: Counts) -> Floats:
    """Average precision of one class, [R, 10], on resamples given as counts [R, P]; NaN where a resample holds no object of it.

    Precision has its peaks at correct detections, so only these are looked at. Each stands for those of COCO's 101 recalls that
    it is the first to reach.
    """
    drawn = counts[:, found.image_index]
    ranked = drawn.cumsum(axis=1)
    objects = counts @ found.objects
    result = np.full((len(counts), len(found.correct)), np.nan)
    for threshold, (correct, ignored) in enumerate(zip(found.correct, found.ignored, strict=True)):
        at, off = np.flatnonzero(correct), np.flatnonzero(ignored)
        hits = drawn[:, at].cumsum(axis=1)
        skipped = np.pad(drawn[:, off].cumsum(axis=1), ((0, 0), (1, 0)))[:, np.searchsorted(off, at)]
        precision = hits / np.maximum(ranked[:, at] - skipped, 1)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # the best precision at this recall or more
        reached = np.searchsorted(RECALLS, hits / np.maximum(objects, 1)[:, None], side="right")
        result[:, threshold] = (np.diff(reached, axis=1, prepend=0) * best).sum(axis=1) / len(RECALLS)
    result[objects == 0] = np.nan
    return result


def _draws(pictures: int, resamples: int, seed: int) -> Iterator[Counts]:
    source = np.random.default_rng(seed)
    for start in range(0, resamples, CHUNK):
        yield source.multinomial(pictures, np.full(pictures, 1 / pictures), size=min(CHUNK, resamples - start))


def _of_class(images: list[dict[str, NDArray[np.float64]] | None], thresholds: int) -> Matches:
    """Join what was found in each picture; None stands for a picture without detections and objects of the class."""
    there = [(index, image) for index, image in enumerate(images) if image]
    objects = np.zeros(len(images), dtype=np.int64)
    for index, image in there:
        objects[index] = np.count_nonzero(np.asarray(image["gtIgnore"]) == 0)
    scores = np.concatenate([np.zeros(0), *(image["dtScores"] for _, image in there)])
    order = np.argsort(-scores, kind="stable")
    image_index = np.repeat([index for index, _ in there], [len(image["dtScores"]) for _, image in there]).astype(np.intp)
    nothing = np.zeros((thresholds, 0))
    matched, ignored = (
        np.concatenate([nothing, *(image[key] for _, image in there)], axis=1).astype(bool)[:, order] for key in ("dtMatches", "dtIgnore")
    )
    return Matches(image_index[order], matched & ~ignored, ignored, objects)
