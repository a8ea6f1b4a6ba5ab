"""COCO scores, computed by pycocotools."""

import io
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kd.detection.decode import Detections

RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Scores:
    """The scores of a detector on a split; every value is in 0..1.

    Attributes:
        map: mean average precision over IoU 0.50:0.05:0.95 and the classes with objects.
        map50: the same at IoU 0.50.
        per_class: "ap" and "ap50" by class name; classes without objects are omitted.
        precision: mean precision over the classes at each of `RECALLS`, at IoU 0.50.
    """

    map: float
    map50: float
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    precision: list[float] = field(default_factory=list)


def to_coco_results(image_id: int, detections: Detections) -> list[dict[str, Any]]:
    """Detections in the picture's own pixels as entries of a COCO results file; label k is category k + 1."""
    rows = zip(detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist(), strict=True)
    return [
        {"image_id": image_id, "category_id": label + 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
        for (x0, y0, x1, y1), score, label in rows
    ]


def split_results(ids: Iterable[int], detections: Iterable[Detections]) -> list[dict[str, Any]]:
    """The entries of a COCO results file for a split: the detections in each picture, in the order of the image `ids`."""
    return [row for image_id, found in zip(ids, detections, strict=True) for row in to_coco_results(image_id, found)]


def coco_scores(ground_truth: dict[str, Any], results: list[dict[str, Any]], max_detections: int = 100) -> Scores:
    """Score results against the content of a COCO annotation file; at most `max_detections` detections count for each picture and class."""
    return read_scores(coco_evaluation(ground_truth, results, max_detections))


def coco_evaluation(ground_truth: dict[str, Any], results: list[dict[str, Any]], max_detections: int = 100) -> COCOeval:
    """pycocotools' evaluation behind `coco_scores`, for boxes of all sizes; it also holds which detection matched which object."""
    with redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = ground_truth
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(results) if results else COCO(), "bbox")
        evaluation.params.imgIds = [image["id"] for image in ground_truth["images"]]
        evaluation.params.maxDets = [max_detections]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def read_scores(evaluation: COCOeval) -> Scores:
    """The scores of an evaluation."""
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [IoU, recall, class], -1 for a class without objects
    classes = [category["name"] for category in evaluation.cocoGt.dataset["categories"]]
    with_objects = [k for k in range(len(classes)) if precision[0, 0, k] >= 0]
    per_class = {classes[k]: {"ap": float(precision[:, :, k].mean()), "ap50": float(precision[0, :, k].mean())} for k in with_objects}
    if not with_objects:
        return Scores(0.0, 0.0)
    kept = precision[:, :, with_objects]
    return Scores(float(kept.mean()), float(kept[0].mean()), per_class, [float(p) for p in kept[0].mean(axis=1)])
