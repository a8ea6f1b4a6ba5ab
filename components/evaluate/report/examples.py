"""Test pictures with what each model found."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor
from torchvision.ops import box_iou

from components.evaluate.report.models import TITLES, EvaluatedModel, reference
from components.evaluate.report.pictures import EmbeddedPicture, embedded, fitted
from kd.data.dataset import DetectionData
from kd.data.draw import draw, draw_boxes
from kd.data.pictures import read_picture
from kd.detection.decode import Detections

LEAST = 0.25
"""Least score of a box that is drawn and counted."""
OVERLAP = 0.5


class Example(NamedTuple):
    """One test picture as every model sees it; `quality` is the F1 of whom the student is compared with, and of the student."""

    name: str
    quality: tuple[float, float]
    shown: list[EmbeddedPicture]


class Examples(NamedTuple):
    """Chosen pictures, and on how many of all the distilled student is better than its reference, worse and alike."""

    chosen: list[Example]
    better: int
    worse: int
    alike: int


def examples(test: DetectionData, models: Mapping[str, EvaluatedModel], count: int) -> Examples:
    """At most `count` pictures at even steps from the one that gained most to the one that lost most.

    Pictures on which the two are alike are left out, unless the others are too few.
    """
    confident = {name: [_confident(found) for found in model.found] for name, model in models.items()}
    pair = (reference(models), "student")
    before, after = ([f1(found, *test.objects(i)) for i, found in enumerate(confident[name])] for name in pair)
    gains = [new - old for old, new in zip(before, after, strict=True)]
    order = sorted(range(len(test)), key=lambda i: (-gains[i], i))
    changed, alike = [i for i in order if gains[i]], [i for i in order if not gains[i]]
    chosen = spread(changed, count)
    chosen = sorted(chosen + spread(alike, count - len(chosen)), key=order.index)
    better = sum(gain > 0 for gain in gains)
    return Examples([_example(test, confident, i, (before[i], after[i])) for i in chosen], better, len(changed) - better, len(alike))


def spread(items: list[int], count: int) -> list[int]:
    """`count` of `items`, the first, the last and at even steps between; all where there are no more."""
    if count >= len(items):
        return items
    return [items[round(step * (len(items) - 1) / max(count - 1, 1))] for step in range(count)]


def f1(found: Detections, boxes: Tensor, labels: Tensor) -> float:
    """2 * hits / (found + labelled), 0 to 1; each object [M, 4], [M] is hit once, by the best box of its class with IoU 0.5 or more."""
    if not len(found.scores) + len(labels):
        return 1.0
    fits = (box_iou(found.boxes, boxes) >= OVERLAP) & (found.labels[:, None] == labels[None])
    free = set(range(len(labels)))
    for row in fits:
        free -= set([index for index in row.nonzero().flatten().tolist() if index in free][:1])
    return 2 * (len(labels) - len(free)) / (len(found.scores) + len(labels))


def _confident(found: Detections) -> Detections:
    sure = found.scores >= LEAST
    return Detections(*(part[sure] for part in found))


def _example(test: DetectionData, found: Mapping[str, list[Detections]], index: int, quality: tuple[float, float]) -> Example:
    picture = fitted(read_picture(test.file(index)))
    scale = picture.width / test.sizes[index][0]
    boxes, labels = test.objects(index)
    truth = [(box, label, test.classes[label]) for box, label in zip((boxes * scale).tolist(), labels.tolist(), strict=True)]
    drawn = [embedded("Labelled", draw_boxes(picture, truth))]
    for name, finds in found.items():
        drawn.append(embedded(TITLES[name], draw(picture, finds[index]._replace(boxes=finds[index].boxes * scale), test.classes)))
    return Example(test.file(index).name, quality, drawn)
