"""Run a network over a split, and score its detections."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kd.data.anchors import Anchors
from kd.data.dataset import DetectionData
from kd.data.letterbox import Letterbox
from kd.data.loader import Workers, scoring_loader
from kd.detection.decode import Detections, decode_boxes, postprocess
from kd.detection.scores import Scores, coco_scores, split_results

BATCH = 32
"""Number of pictures that a network detects in at once."""


@dataclass(frozen=True)
class NMSConfig:
    """How candidates become detections; see `kd.detection.decode.postprocess`."""

    confidence: float = 0.001
    nms_iou: float = 0.6
    max_detections: int = 100


def detect(
    network: nn.Module,
    anchors: Anchors,
    data: DetectionData,
    nms: NMSConfig,
    batch: int = BATCH,
    workers: Workers = 0,
    indices: Sequence[int] | None = None,
) -> Iterator[Detections]:
    """Yield the detections in the pictures of a split, in the picture's own pixels; the network is left in evaluation mode.

    `workers` is the number of processes that load pictures, and `indices` are the pictures; None for all.
    """
    network.eval()
    indices = range(len(data)) if indices is None else indices
    sizes = (data.sizes[index] for index in indices)
    for squares, positions in scoring_loader(data, batch, workers, indices):
        yield from detect_letterboxed(network, anchors, squares, positions, [next(sizes) for _ in positions], nms)


@torch.no_grad()
def detect_letterboxed(
    network: nn.Module, anchors: Anchors, squares: Tensor, positions: Sequence[Letterbox], sizes: Sequence[tuple[int, int]], nms: NMSConfig
) -> list[Detections]:
    """The detections in letterboxed pictures, uint8 [B, 3, S, S], in the pixels of the pictures, whose (width, height) are `sizes`."""
    device = next(network.parameters()).device
    boxes, scores = (part.cpu() for part in decode_boxes(network(squares.to(device).float() / 255).heads, anchors))
    detections = (postprocess(*parts, nms.confidence, nms.nms_iou, nms.max_detections) for parts in zip(boxes, scores, strict=True))
    return [to_picture_pixels(*found) for found in zip(detections, positions, sizes, strict=True)]


def to_picture_pixels(detections: Detections, position: Letterbox, size: tuple[int, int]) -> Detections:
    """Convert detections from pixels of the square to pixels of a picture of (width, height), and clip them to it."""
    width, height = size
    boxes = position.to_picture(detections.boxes).clamp(torch.zeros(4), torch.tensor([width, height, width, height]).float())
    return detections._replace(boxes=boxes)


def score_detector(network: nn.Module, anchors: Anchors, data: DetectionData, nms: NMSConfig) -> Scores:
    """The COCO scores of `network` on a split."""
    results = split_results(data.ids, detect(network, anchors, data, nms))
    return coco_scores(data.ground_truth, results, nms.max_detections)
