"""Measuring models as their consumers get them: loaded from the registry, in one process, on the same test pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from components.evaluate.latency import DEPLOYED, Task, time_interleaved
from components.params.models import Gate
from components.register_model.gate.bootstrap import Matches, matches, paired_bootstrap
from components.register_model.gate.rules import Comparison, Measurements
from components.register_model.packaging import RegisteredDetector
from kd.data.dataset import DetectionData
from kd.data.pictures import read_picture
from kd.detection.decode import Detections
from kd.detection.evaluate import NMSConfig
from kd.detection.scores import coco_evaluation, read_scores, to_coco_results
from kd.progress import track

TIMED = 16
"""Test pictures that are timed, over and over."""
ROUNDS = 100
"""Times that each is timed: on a busy machine few turns are undisturbed."""


class LoadedModel(NamedTuple):
    """A model of the registry: as a function, and its ONNX file."""

    detect: RegisteredDetector
    file: Path


class MeasuredModel(NamedTuple):
    """A model's measures, what it found [pictures], and what of that matched."""

    measured: Measurements
    found: list[Detections]
    matches: list[Matches]


def measure(title: str, contender: LoadedModel, data: DetectionData, nms: NMSConfig) -> MeasuredModel:
    """Score a model on a split as the step `evaluate` does; classes are matched by name."""
    detect, batch = contender.detect, contender.detect.batch
    parts = ([data.file(i) for i in range(start, min(start + batch, len(data)))] for start in range(0, len(data), batch))
    found = [
        in_labels_of(data.classes, detect.classes, one)
        for part in track(parts, f"score {title}", -(-len(data) // batch), "batches")
        for one in detect(part, nms.confidence, nms.nms_iou, nms.max_detections)
    ]
    rows = [row for image_id, one in zip(data.ids, found, strict=True) for row in to_coco_results(image_id, one)]
    evaluation = coco_evaluation(data.ground_truth, rows, nms.max_detections)
    scores = read_scores(evaluation)
    per_class = {name: values["ap50"] for name, values in scores.per_class.items()}
    finite = finite_weights(contender.file) and all(bool(part.isfinite().all()) for one in found for part in one)
    measured = Measurements(tuple(detect.classes), scores.map, scores.map50, per_class, contender.file.stat().st_size / 1e6, finite)
    return MeasuredModel(measured, found, matches(evaluation))


def compare(ours: MeasuredModel, theirs: MeasuredModel, contenders: tuple[LoadedModel, LoadedModel], data: DetectionData, gate: Gate) -> Comparison:
    """The challenger, first in each pair, against the champion."""
    times = milliseconds({"challenger": contenders[0], "champion": contenders[1]}, data)
    gain = paired_bootstrap(ours.matches, theirs.matches, gate.resamples, gate.confidence)
    return Comparison(theirs.measured, gain, times["challenger"] / times["champion"])


def milliseconds(contenders: Mapping[str, LoadedModel], data: DetectionData) -> dict[str, float]:
    """Milliseconds from a decoded picture to its detections, one at a time and in turns."""
    pictures = [read_picture(data.file(index)) for index in range(min(TIMED, len(data)))]

    def task(contender: LoadedModel) -> Task:
        return lambda turn: contender.detect([pictures[turn % len(pictures)]], DEPLOYED.confidence, DEPLOYED.nms_iou, DEPLOYED.max_detections)

    return time_interleaved({name: task(contender) for name, contender in contenders.items()}, ROUNDS)


def in_labels_of(wanted: tuple[str, ...], known: tuple[str, ...], found: Detections) -> Detections:
    """Detections labelled by the classes `known` with the labels of the same names in `wanted`; those without are left out."""
    places = {name: label for label, name in enumerate(wanted)}
    labels = torch.tensor([places.get(name, -1) for name in known], dtype=torch.int64)[found.labels]
    return Detections(found.boxes[labels >= 0], found.scores[labels >= 0], labels[labels >= 0])


def finite_weights(file: Path) -> bool:
    """Whether no weight of an ONNX file is NaN or infinite: a network with such a weight finds nothing, without an error."""
    values = (numpy_helper.to_array(weight) for weight in onnx.load(file).graph.initializer)
    weights = (array for array in values if array.ndim and np.issubdtype(array.dtype, np.floating))  # a padding of -inf is no array
    return all(bool(np.isfinite(array).all()) for array in weights)
