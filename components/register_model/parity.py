"""Compare the detections of an exported model with those of its network."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from kd.data.dataset import DetectionData
from kd.detection.decode import Detections, decode_boxes, postprocess
from kd.detection.evaluate import NMSConfig
from kd.model.build import Network
from kd.model.spec import ModelSpec

BATCH = 8
"""Pictures in a batch. The last batch may be smaller, which tests that the export takes any batch size."""
TIE = 1e-5
"""Two scores that differ by less are equal up to rounding, so that non-maximum suppression may keep either box."""


class Parity(NamedTuple):
    """The largest differences between an export and its network.

    Attributes:
        pictures: number of pictures compared.
        detections: number of detections of the network in them.
        box_difference: largest difference of a box coordinate, as a fraction of the image size.
        score_difference: largest difference of a score.
    """

    pictures: int
    detections: int
    box_difference: float
    score_difference: float


def compare_export(network: Network, spec: ModelSpec, exported: Path, data: DetectionData, nms: NMSConfig, pictures: int) -> Parity:
    """Compare the detections of `network` and of the ONNX file `exported` in the first `pictures` of a split."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # otherwise it warns about each optional input
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    count, detections, differences = min(pictures, len(data)), 0, [(0.0, 0.0)]
    for start in range(0, count, BATCH):
        images = torch.stack([data.letterboxed(index)[0] for index in range(start, min(start + BATCH, count))]).float() / 255
        outputs = session.run(["boxes", "scores", "labels", "pictures"], {"images": images.numpy()})
        for (expected, ties), actual in zip(_detect(network, spec, images, nms), _split_by_picture(outputs, len(images)), strict=True):
            detections += len(expected.scores)
            differences.append(difference(expected, actual, spec.image_size, nms.confidence, ties))
    box, score = (max(values) for values in zip(*differences, strict=True))
    return Parity(count, detections, box, score)


def difference(
    expected: Detections, actual: Detections, image_size: int, confidence: float, ties: Sequence[Tensor] | None = None
) -> tuple[float, float]:
    """The largest difference of boxes (as a fraction of `image_size`, clipped to the picture) and of scores.

    Detections are matched one to one: each expected one, best first, with the most similar unmatched one of its class, because
    detections with equal scores may come in any order. An unmatched detection counts as the difference between its score and
    `confidence`, because a change of that size removes it. `ties` are the boxes [T, 4] that each expected one may be; None for its own.
    """
    ties = expected.boxes[:, None].unbind() if ties is None else ties
    found = actual.boxes.clamp(0, image_size) / image_size
    boxes = np.zeros((len(ties), len(found)), dtype=np.float32)
    for row, possible in enumerate(ties):
        boxes[row] = _distances(possible.clamp(0, image_size) / image_size, found).min(axis=0)
    scores = _distances(expected.scores[:, None], actual.scores[:, None])
    costs = np.where(expected.labels[:, None] == actual.labels[None], np.maximum(boxes, scores), np.inf)
    unmatched = set(range(len(actual.scores)))
    box = score = 0.0
    for row, cost in enumerate(costs):
        best = min(unmatched, key=cost.__getitem__, default=None)
        if best is None or np.isinf(cost[best]):
            score = max(score, float(expected.scores[row]) - confidence)
            continue
        unmatched.remove(best)
        box, score = max(box, float(boxes[row, best])), max(score, float(scores[row, best]))
    return box, max([score, *(float(actual.scores[column]) - confidence for column in unmatched)])


@torch.no_grad()
def _detect(network: Network, spec: ModelSpec, images: Tensor, nms: NMSConfig) -> Iterator[tuple[Detections, list[Tensor]]]:
    """The detections in each picture, and the boxes that each of them may be."""
    for boxes, scores in zip(*decode_boxes(network(images).heads, spec.anchors), strict=True):
        detections = postprocess(boxes, scores, nms.confidence, nms.nms_iou, nms.max_detections)
        yield detections, find_ties(detections, boxes, scores, nms.nms_iou)


def find_ties(detections: Detections, boxes: Tensor, scores: Tensor, nms_iou: float) -> list[Tensor]:
    """For each detection the boxes [T, 4] of the candidates, itself among them, that non-maximum suppression could have kept as well.

    Args:
        detections: what it kept.
        boxes: [P, 4] of all candidates.
        scores: [P, K] of all candidates.
        nms_iou: IoU above which it removes one of two boxes.
    """
    equal = (scores[:, detections.labels] - detections.scores).abs() < TIE
    possible = equal & (box_iou(boxes, detections.boxes) > nms_iou)
    return [torch.cat([own[None], boxes[column]]) for own, column in zip(detections.boxes, possible.T, strict=True)]


def _split_by_picture(outputs: list[NDArray[np.generic]], batch: int) -> list[Detections]:
    """Split the outputs of the exported model by picture."""
    boxes, scores, labels, pictures = (torch.from_numpy(output) for output in outputs)
    return [Detections(boxes[pictures == i], scores[pictures == i], labels[pictures == i]) for i in range(batch)]


def _distances(a: Tensor, b: Tensor) -> NDArray[np.float32]:
    """The largest coordinate difference between each row of `a` and each row of `b`."""
    return (a[:, None] - b[None]).abs().amax(dim=2).numpy()
