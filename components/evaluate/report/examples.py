"""Test pictures with the detections of each model."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor
from torchvision.ops import box_iou

from components.evaluate.report.models import TITLES, EvaluatedModel, reference_name
from components.evaluate.report.pictures import EmbeddedPicture, embed, resize
from kd.data.dataset import DetectionData
from kd.data.draw import draw, draw_boxes
from kd.detection.decode import Detections

MIN_SCORE = 0.25
"""Minimum score of a box that is drawn and counted."""
MIN_IOU = 0.5


class Example(NamedTuple):
    """A test picture: its file name, the F1 of reference and student, and the picture with the labels and with each model's detections."""

    name: str
    f1: tuple[float, float]
    pictures: list[EmbeddedPicture]


class Examples(NamedTuple):
    """Examples, and the number of test pictures on which the student is better than the reference, worse and equal."""

    examples: list[Example]
    better: int
    worse: int
    equal: int


def choose_examples(test: DetectionData, models: Mapping[str, EvaluatedModel], count: int) -> Examples:
    """At most `count` pictures, evenly spaced from the largest gain to the largest loss.

    Pictures on which both are equal are chosen only if there are too few others.
    """
    confident = {name: [_above_min_score(found) for found in model.detections] for name, model in models.items()}
    names = (reference_name(models), "student")
    reference_f1, student_f1 = ([f1_score(found, *test.objects(i)) for i, found in enumerate(confident[name])] for name in names)
    gains = [student - reference for reference, student in zip(reference_f1, student_f1, strict=True)]
    order = sorted(range(len(test)), key=lambda i: (-gains[i], i))
    changed, equal = [i for i in order if gains[i]], [i for i in order if not gains[i]]
    chosen = evenly_spaced(changed, count)
    chosen = sorted(chosen + evenly_spaced(equal, count - len(chosen)), key=order.index)
    better = sum(gain > 0 for gain in gains)
    return Examples(
        [_example(test, confident, i, (reference_f1[i], student_f1[i])) for i in chosen], better, len(changed) - better, len(equal)
    )


def evenly_spaced(items: list[int], count: int) -> list[int]:
    """`count` of `items`: the first, the last and evenly spaced ones between; all if there are no more."""
    if count >= len(items):
        return items
    return [items[round(step * (len(items) - 1) / max(count - 1, 1))] for step in range(count)]


def f1_score(detections: Detections, boxes: Tensor, labels: Tensor) -> float:
    """2 * matches / (detections + objects), 0 to 1.

    Each object [M, 4], [M] is matched once, by the best detection of its class with an IoU of at least 0.5.
    """
    if not len(detections.scores) + len(labels):
        return 1.0
    matches = (box_iou(detections.boxes, boxes) >= MIN_IOU) & (detections.labels[:, None] == labels[None])
    unmatched = set(range(len(labels)))
    for row in matches:
        unmatched -= set([index for index in row.nonzero().flatten().tolist() if index in unmatched][:1])
    return 2 * (len(labels) - len(unmatched)) / (len(detections.scores) + len(labels))


def _above_min_score(detections: Detections) -> Detections:
    kept = detections.scores >= MIN_SCORE
    return Detections(*(part[kept] for part in detections))


def _example(test: DetectionData, detections: Mapping[str, list[Detections]], index: int, f1: tuple[float, float]) -> Example:
    picture = resize(test.picture(index))
    scale = picture.width / test.sizes[index][0]
    boxes, labels = test.objects(index)
    labeled = [(box, label, test.classes[label]) for box, label in zip((boxes * scale).tolist(), labels.tolist(), strict=True)]
    pictures = [embed("Labels", draw_boxes(picture, labeled))]
    for name, found in detections.items():
        scaled = found[index]._replace(boxes=found[index].boxes * scale)
        pictures.append(embed(TITLES[name], draw(picture, scaled, test.classes)))
    return Example(test.names[index], f1, pictures)
