"""Running a network over a split, and scoring what it finds."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from kd.data.anchors import Anchors
from kd.data.dataset import DetectionData
from kd.data.letterbox import Letterbox
from kd.data.loader import scoring_loader
from kd.detection.decode import Detections, decode_boxes, postprocess
from kd.detection.scores import Scores, coco_scores, to_coco_results


@dataclass(frozen=True)
class NMSConfig:
    """Which candidates become detections; see `kd.detection.decode.postprocess`."""

    confidence: float = 0.001
    nms_iou: float = 0.6
    max_detections: int = 100


@torch.no_grad()
def detect(network: nn.Module, anchors: Anchors, data: DetectionData, nms: NMSConfig, batch: int = 32) -> Iterator[Detections]:
    """Yield each picture's detections in its own pixels, in the order of the split; the network is left in evaluation mode."""
    device = next(network.parameters()).device
    network.eval()
    sizes = iter(data.sizes)
    for squares, frames in scoring_loader(data, batch):
        pictures = squares.to(device).float() / 255
        boxes, scores = (t.cpu() for t in decode_boxes(network(pictures).heads, anchors))
        for i in range(len(squares)):
            frame = Letterbox(*(value[i].item() for value in frames))
            yield to_picture(postprocess(boxes[i], scores[i], nms.confidence, nms.nms_iou, nms.max_detections), frame, next(sizes))


def to_picture(found: Detections, frame: Letterbox, size: tuple[int, int]) -> Detections:
    """Detections in the square's pixels to those of the picture of (width, height), clipped to it."""
    width, height = size
    return found._replace(boxes=frame.to_picture(found.boxes).clamp(torch.zeros(4), torch.tensor([width, height, width, height]).float()))


def score_detector(network: nn.Module, anchors: Anchors, data: DetectionData, nms: NMSConfig) -> Scores:
    """COCO's scores of `network` on a split."""
    found = detect(network, anchors, data, nms)
    results = [row for image_id, detections in zip(data.ids, found, strict=True) for row in to_coco_results(image_id, detections)]
    return coco_scores(data.ground_truth, results, nms.max_detections)
