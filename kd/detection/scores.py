"""COCO's scores, by pycocotools."""

import io
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
    """What a detector reaches on a split; every value in 0..1.

    Attributes:
        map: mean average precision over IoU 0.50:0.05:0.95 and the classes that occur.
        map50: the same at IoU 0.50.
        per_class: by class name "ap" and "ap50"; NaN-free, classes that do not occur are left out.
        precision: mean precision over the classes at each of `RECALLS`, at IoU 0.50.
    """

    map: float
    map50: float
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    precision: list[float] = field(default_factory=list)


def to_coco_results(image_id: int, found: Detections) -> list[dict[str, Any]]:
    """Detections in the picture's own pixels as entries of a COCO results file; label k is category k + 1."""
    rows = zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    return [
        {"image_id": image_id, "category_id": label + 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
        for (x0, y0, x1, y1), score, label in rows
    ]


def coco_scores(truth: dict[str, Any], results: list[dict[str, Any]], max_detections: int = 100) -> Scores:
    """Score results against the content of a COCO annotation file; at most `most` detections a picture and class count."""
    return read_scores(coco_evaluation(truth, results, max_detections))


def coco_evaluation(truth: dict[str, Any], results: list[dict[str, Any]], max_detections: int = 100) -> COCOeval:
    """pycocotools' evaluation behind `coco_scores`, over boxes of all sizes; it knows which detection matched which object."""
    with redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(results) if results else COCO(), "bbox")
        evaluation.params.imgIds = [image["id"] for image in truth["images"]]
        evaluation.params.maxDets = [max_detections]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def read_scores(evaluation: COCOeval) -> Scores:
    """The scores that an evaluation arrived at."""
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # [IoU, recall, class], -1 where a class does not occur
    classes = [category["name"] for category in evaluation.cocoGt.dataset["categories"]]
    occurring = [k for k in range(len(classes)) if precision[0, 0, k] >= 0]
    per_class = {classes[k]: {"ap": float(precision[:, :, k].mean()), "ap50": float(precision[0, :, k].mean())} for k in occurring}
    if not occurring:
        return Scores(0.0, 0.0)
    there = precision[:, :, occurring]
    return Scores(float(there.mean()), float(there[0].mean()), per_class, [float(p) for p in there[0].mean(axis=1)])
