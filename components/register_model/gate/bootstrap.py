"""Confidence interval of a difference in mAP, by the paired bootstrap over test pictures (Efron, 1979).

A resample draws as many pictures as there are, with replacement, and scores both models on the same ones. Detections are matched
with objects within a picture, so pycocotools matches them once. A resample is a vector of counts, how often each picture was
drawn, and precision and recall are sums with these weights.
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
"""Resamples computed at once; limits memory to some megabytes per thousand detections of a class."""


class Matches(NamedTuple):
    """The detections of one class in a split, best first, at the IoU thresholds 0.50:0.05:0.95.

    Attributes:
        image_index: [D] index of the picture of each detection.
        correct: [10, D] whether it matches an object.
        ignored: [10, D] whether it matches a crowd, and so is neither correct nor wrong.
        objects: [P] number of objects in each picture.
    """

    image_index: NDArray[np.intp]
    correct: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    objects: Counts


class Interval(NamedTuple):
    """The difference between two scores, with the ends of its confidence interval."""

    difference: float
    low: float
    high: float


class Gains(NamedTuple):
    """What one model gains over another.

    Attributes:
        mean: in mAP ("map") and mAP50 ("map50").
        by_class: the same in the AP of each class with objects, by label.
    """

    mean: dict[str, Interval]
    by_class: dict[int, dict[str, Interval]]


def read_matches(evaluation: COCOeval) -> list[Matches]:
    """The matches of an evaluation, by class."""
    pictures = len(evaluation.params.imgIds)
    images = evaluation.evalImgs
    return [_class_matches(images[start : start + pictures], len(evaluation.params.iouThrs)) for start in range(0, len(images), pictures)]


def paired_bootstrap(
    ours: list[Matches],
    theirs: list[Matches],
    resamples: int,
    confidence: float,
    comparisons: int = 1,
    groups: NDArray[np.intp] | None = None,
    seed: int = 0,
) -> Gains:
    """The differences `ours` - `theirs` with their confidence intervals.

    Args:
        ours: matches of one model, by class.
        theirs: matches of the other model on the same pictures.
        resamples: number of resamples.
        confidence: one-sided: with 0.95, 5 % of the resamples are below `low` and 5 % above `high`.
        comparisons: number of comparisons over which the confidence of the mean is kept, by the Bonferroni correction.
        groups: [P] number of each picture's group, 0 to G - 1, if pictures of a group are not independent. Groups are resampled then.
        seed: seed of the resamples.
    """
    pictures = len(ours[0].objects)
    groups = np.arange(pictures) if groups is None else groups
    every_picture_once = np.ones((1, pictures), dtype=np.int64)
    [exact] = mean_ap(ours, every_picture_once) - mean_ap(theirs, every_picture_once)
    differences = np.concatenate([mean_ap(ours, counts) - mean_ap(theirs, counts) for counts in _resample(groups, resamples, seed)])

    def intervals(row: int, error: float) -> dict[str, Interval]:
        known = differences[~np.isnan(differences[:, row, 0]), row]
        low, high = np.quantile(known, [error, 1 - error], axis=0)
        return {name: Interval(float(exact[row, i]), float(low[i]), float(high[i])) for i, name in enumerate(METRICS)}

    error = 1 - confidence
    return Gains(
        intervals(0, error / comparisons),
        {label: intervals(1 + label, error) for label in range(len(ours)) if not np.isnan(exact[1 + label, 0])},
    )


def mean_ap(classes: list[Matches], counts: Counts) -> Floats:
    """AP and AP50, [R, 1 + K, 2], on resamples given as counts [R, P]: the mean over the classes, then each class.

    A class without objects in a resample is NaN there and left out of the mean.
    """
    precision = np.stack([average_precision(matches, counts) for matches in classes], axis=1)
    occurs = ~np.isnan(precision[:, :, :1])
    mean = np.where(occurs, precision, 0).sum(axis=1, keepdims=True) / np.maximum(occurs.sum(axis=1, keepdims=True), 1)
    rows = np.concatenate([mean, precision], axis=1)
    return np.stack([rows.mean(axis=2), rows[:, :, 0]], axis=2)


def average_precision(matches: Matches, counts: Counts) -> Floats:
    """Average precision of one class, [R, 10], on resamples given as counts [R, P]; NaN if a resample has no object of the class.

    The maxima of the precision are at correct detections, so it is computed only there. Each of them is weighted by the number
    of COCO's 101 recall levels that it reaches first.
    """
    drawn = counts[:, matches.image_index]
    ranked = drawn.cumsum(axis=1)
    objects = counts @ matches.objects
    result = np.full((len(counts), len(matches.correct)), np.nan)
    for threshold, (correct, ignored) in enumerate(zip(matches.correct, matches.ignored, strict=True)):
        correct_at, ignored_at = np.flatnonzero(correct), np.flatnonzero(ignored)
        hits, ranks = drawn[:, correct_at].cumsum(axis=1), ranked[:, correct_at]
        if len(ignored_at):
            ranks = ranks - np.pad(drawn[:, ignored_at].cumsum(axis=1), ((0, 0), (1, 0)))[:, np.searchsorted(ignored_at, correct_at)]
        precision = hits / np.maximum(ranks, 1)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # the best precision at this recall or a higher one
        reached = np.searchsorted(RECALLS, hits / np.maximum(objects, 1)[:, None], side="right")
        result[:, threshold] = (np.diff(reached, axis=1, prepend=0) * best).sum(axis=1) / len(RECALLS)
    result[objects == 0] = np.nan
    return result


def _resample(groups: NDArray[np.intp], resamples: int, seed: int) -> Iterator[Counts]:
    generator, count = np.random.default_rng(seed), int(groups.max()) + 1
    for start in range(0, resamples, CHUNK):
        yield generator.multinomial(count, np.full(count, 1 / count), size=min(CHUNK, resamples - start))[:, groups]


def _class_matches(images: list[dict[str, NDArray[np.float64]] | None], thresholds: int) -> Matches:
    """Join the matches of all pictures; None is a picture without detections and objects of the class."""
    evaluated = [(index, image) for index, image in enumerate(images) if image]
    objects = np.zeros(len(images), dtype=np.int64)
    for index, image in evaluated:
        objects[index] = np.count_nonzero(np.asarray(image["gtIgnore"]) == 0)
    scores = np.concatenate([np.zeros(0), *(image["dtScores"] for _, image in evaluated)])
    order = np.argsort(-scores, kind="stable")
    image_index = np.repeat([index for index, _ in evaluated], [len(image["dtScores"]) for _, image in evaluated]).astype(np.intp)
    empty = np.zeros((thresholds, 0))
    matched, ignored = (
        np.concatenate([empty, *(image[key] for _, image in evaluated)], axis=1).astype(bool)[:, order] for key in ("dtMatches", "dtIgnore")
    )
    return Matches(image_index[order], matched & ~ignored, ignored, objects)
