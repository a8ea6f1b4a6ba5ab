"""Whether an exported model finds what the network finds."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from kd.data.dataset import DetectionData
from kd.detection.decode import Detections, decode_boxes, postprocess
from kd.detection.evaluate import NMSConfig
from kd.model.build import Network
from kd.model.spec import ModelSpec

BATCH = 8
"""Pictures at once; a last batch of another size tests that the file takes any."""


class Parity(NamedTuple):
    """How far an export is from its network.

    Attributes:
        pictures: pictures compared.
        detections: what the network found on them.
        box_difference: largest difference of a box's edge, in shares of the square's side.
        score_difference: largest difference of a score.
    """

    pictures: int
    detections: int
    box_difference: float
    score_difference: float


def compare_export(network: Network, spec: ModelSpec, exported: Path, data: DetectionData, nms: NMSConfig, pictures: int) -> Parity:
    """Run `network` and the file `exported` on the first `pictures` of a split and compare what they find."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of each input that may be left out
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    count, found, differences = min(pictures, len(data)), 0, [(0.0, 0.0)]
    for start in range(0, count, BATCH):
        squares = [data.square(index)[0] for index in range(start, min(start + BATCH, count))]
        images = torch.stack(squares).float() / 255
        theirs = _split(session.run(["boxes", "scores", "labels", "pictures"], {"images": images.numpy()}), len(images))
        for ours, other in zip(_detect(network, spec, images, nms), theirs, strict=True):
            found += len(ours.scores)
            differences.append(difference(ours, other, spec.image_size, nms.confidence))
    box, score = (max(values) for values in zip(*differences, strict=True))
    return Parity(count, found, box, score)


def difference(ours: Detections, theirs: Detections, side: int, confidence: float) -> tuple[float, float]:
    """Largest difference of boxes (in shares of `side`, inside the square) and scores, after matching one to one.

    Each detection, best first, takes the most similar one of its class that is left: equal scores may come in any order.
    One without a partner counts as the distance of its score to `confidence`, because that much would make it vanish.
    """
    boxes = _distances(ours.boxes.clamp(0, side) / side, theirs.boxes.clamp(0, side) / side)
    scores = _distances(ours.scores[:, None], theirs.scores[:, None])
    costs = np.where(ours.labels[:, None] == theirs.labels[None], np.maximum(boxes, scores), np.inf)
    left = set(range(len(theirs.scores)))
    box = score = 0.0
    for row, cost in enumerate(costs):
        best = min(left, key=cost.__getitem__, default=None)
        if best is None or np.isinf(cost[best]):
            score = max(score, float(ours.scores[row]) - confidence)
            continue
        left.remove(best)
        box, score = max(box, float(boxes[row, best])), max(score, float(scores[row, best]))
    return box, max([score, *(float(theirs.scores[column]) - confidence for column in left)])


@torch.no_grad()
def _detect(network: Network, spec: ModelSpec, images: torch.Tensor, nms: NMSConfig) -> list[Detections]:
    boxes, scores = decode_boxes(network(images).heads, spec.anchors)
    return [postprocess(*found, nms.confidence, nms.nms_iou, nms.max_detections) for found in zip(boxes, scores, strict=True)]


def _split(outputs: list[NDArray[np.generic]], batch: int) -> list[Detections]:
    """The export's output, picture by picture."""
    boxes, scores, labels, pictures = (torch.from_numpy(output) for output in outputs)
    return [Detections(boxes[pictures == i], scores[pictures == i], labels[pictures == i]) for i in range(batch)]


def _distances(a: torch.Tensor, b: torch.Tensor) -> NDArray[np.float32]:
    """Largest coordinate difference between each row of `a` and each row of `b`."""
    return (a[:, None] - b[None]).abs().amax(dim=2).numpy()
