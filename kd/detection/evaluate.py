"""Running a network over a split, and scoring what it finds."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from kd.data.dataset import DetectionData
from kd.data.loader import scoring_loader
from kd.data.square import Frame
from kd.detection.decode import Detections, decode, select
from kd.detection.scores import Scores, as_results, coco_scores
from kd.model.spec import Anchors


@dataclass(frozen=True)
class Selection:
    """Which candidates become detections; see `kd.detection.decode.select`."""

    confidence: float = 0.001
    nms_iou: float = 0.6
    most: int = 100


@torch.no_grad()
def detect(network: nn.Module, anchors: Anchors, data: DetectionData, selection: Selection, batch: int = 32) -> Iterator[Detections]:
    """Yield each picture's detections in its own pixels, in the order of the split; the network is left in evaluation mode."""
    device = next(network.parameters()).device
    network.eval()
    sizes = iter(data.sizes)
    for squares, frames in scoring_loader(data, batch):
        pictures = squares.to(device).float() / 255
        boxes, scores = (t.cpu() for t in decode(network(pictures).heads, anchors))
        for i in range(len(squares)):
            frame = Frame(*(value[i].item() for value in frames))
            yield in_picture(select(boxes[i], scores[i], selection.confidence, selection.nms_iou, selection.most), frame, next(sizes))


def in_picture(found: Detections, frame: Frame, size: tuple[int, int]) -> Detections:
    """Detections in the square's pixels to those of the picture of (width, height), clipped to it."""
    width, height = size
    return found._replace(boxes=frame.back(found.boxes).clamp(torch.zeros(4), torch.tensor([width, height, width, height]).float()))


def score(network: nn.Module, anchors: Anchors, data: DetectionData, selection: Selection) -> Scores:
    """COCO's scores of `network` on a split."""
    found = detect(network, anchors, data, selection)
    results = [row for image_id, detections in zip(data.ids, found, strict=True) for row in as_results(image_id, detections)]
    return coco_scores(data.truth, results, selection.most)
