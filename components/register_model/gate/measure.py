"""Measure registered models on the test pictures, in one process and loaded from the registry like by any other user."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from components.evaluate.latency import DEPLOYMENT, Task, time_interleaved
from components.register_model.gate.bootstrap import Matches, read_matches
from components.register_model.gate.rules import Measurements
from components.register_model.packaging import RegisteredDetector
from kd.data.dataset import DetectionData
from kd.detection.decode import Detections
from kd.detection.evaluate import NMSConfig
from kd.detection.scores import coco_evaluation, read_scores, to_coco_results
from kd.progress import track

TIMED_PICTURES = 16
"""Test pictures whose latency is measured."""
ROUNDS = 100
"""Number of times that the latency is measured. It is high, because other load on the machine disturbs most of them."""


class LoadedModel(NamedTuple):
    """A registered model: its detector and the content of its ONNX file."""

    detect: RegisteredDetector
    network: bytes


class MeasuredModel(NamedTuple):
    """The measurements of a model, with its detections in each test picture and their matches."""

    measurements: Measurements
    detections: list[Detections]
    matches: list[Matches]


def measure(name: str, model: LoadedModel, data: DetectionData, nms: NMSConfig) -> MeasuredModel:
    """Score a model on a split like the step `evaluate`. Classes are matched by name; `name` is shown in the progress bar."""
    detect, batch = model.detect, model.detect.batch
    batches = ([data.open(i) for i in range(start, min(start + batch, len(data)))] for start in range(0, len(data), batch))
    detections = [
        map_labels(found, detect.classes, data.classes)
        for pictures in track(batches, f"score {name}", -(-len(data) // batch), "batches")
        for found in detect(pictures, nms.confidence, nms.nms_iou, nms.max_detections)
    ]
    results = [row for image_id, found in zip(data.ids, detections, strict=True) for row in to_coco_results(image_id, found)]
    evaluation = coco_evaluation(data.ground_truth, results, nms.max_detections)
    scores = read_scores(evaluation)
    per_class = {name: values["ap50"] for name, values in scores.per_class.items()}
    finite = has_finite_weights(model.network) and all(bool(part.isfinite().all()) for found in detections for part in found)
    megabytes = len(model.network) / 1e6
    measurements = Measurements(tuple(detect.classes), scores.map, scores.map50, per_class, megabytes, finite)
    return MeasuredModel(measurements, detections, read_matches(evaluation))


def measure_latency(models: Mapping[str, LoadedModel], data: DetectionData) -> dict[str, float]:
    """Milliseconds from a decoded picture to its detections, by model; interleaved, one picture at a time."""
    pictures = [data.picture(index) for index in range(min(TIMED_PICTURES, len(data)))]
    settings = (DEPLOYMENT.confidence, DEPLOYMENT.nms_iou, DEPLOYMENT.max_detections)

    def task(model: LoadedModel) -> Task:
        return lambda turn: model.detect([pictures[turn % len(pictures)]], *settings)

    return time_interleaved({name: task(model) for name, model in models.items()}, ROUNDS)


def map_labels(detections: Detections, classes: tuple[str, ...], target: tuple[str, ...]) -> Detections:
    """Convert labels that index `classes` to those of the same names in `target`; detections of other classes are removed."""
    index = {name: label for label, name in enumerate(target)}
    labels = torch.tensor([index.get(name, -1) for name in classes], dtype=torch.int64)[detections.labels]
    return Detections(detections.boxes[labels >= 0], detections.scores[labels >= 0], labels[labels >= 0])


def has_finite_weights(network: bytes) -> bool:
    """Whether no weight of an ONNX file is NaN or infinite. A network with such a weight detects nothing, without an error."""
    values = (numpy_helper.to_array(weight) for weight in onnx.load_model_from_string(network).graph.initializer)
    # scalars are left out, because a padding may be -inf
    weights = (array for array in values if array.ndim and np.issubdtype(array.dtype, np.floating))
    return all(bool(np.isfinite(array).all()) for array in weights)
