from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kd.data.dataset import DetectionData
from kd.data.letterbox import Letterbox
from kd.detection.decode import Detections
from kd.detection.evaluate import NMSConfig, detect, score_detector, to_picture_pixels
from kd.model.build import Network
from kd.model.spec import ModelSpec

BOXES = {
    (64, 32): [12.0, 6.0, 52.0, 26.0],
    (32, 64): [0.0, 22.0, 32.0, 42.0],
    (64, 64): [12.0, 22.0, 52.0, 42.0],
    (16, 16): [3.0, 5.5, 13.0, 10.5],
}
"""By size of the picture: the box (6, 11, 26, 21) of the square of 32 pixels, in the picture's pixels and clipped to it."""


@pytest.fixture
def data(write_split: Callable[..., Path]) -> DetectionData:
    pictures = [(*size, [(1, x0, y0, x1 - x0, y1 - y0)]) for size, (x0, y0, x1, y1) in BOXES.items()]
    return DetectionData(write_split(pictures), 32)


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_boxes_are_in_the_pixels_of_each_picture(data: DetectionData, confident_network: Network, spec: ModelSpec, batch: int) -> None:
    found = list(detect(confident_network.train(), spec.anchors, data, NMSConfig(confidence=0.5), batch))
    assert [f.boxes.tolist() for f in found] == [[pytest.approx(box, abs=1e-3)] for box in BOXES.values()]
    assert all(f.labels.tolist() == [1] for f in found) and not confident_network.training


def test_detecting_every_object_scores_one(data: DetectionData, confident_network: Network, spec: ModelSpec) -> None:
    scores = score_detector(confident_network, spec.anchors, data, NMSConfig(confidence=0.5))
    assert scores.map == pytest.approx(1) and set(scores.per_class) == {"dog"}


def test_the_nms_config_limits_the_detections(data: DetectionData, confident_network: Network, spec: ModelSpec) -> None:
    assert all(len(f.scores) == 0 for f in detect(confident_network, spec.anchors, data, NMSConfig(confidence=0.9)))
    assert all(len(f.scores) == 0 for f in detect(confident_network, spec.anchors, data, NMSConfig(confidence=0.5, max_detections=0)))


def test_boxes_are_clipped_to_their_picture() -> None:
    found = Detections(torch.tensor([[-5.0, 0.0, 40.0, 40.0]]), torch.ones(1), torch.zeros(1))
    assert to_picture_pixels(found, Letterbox(0.5, 0, 8), (64, 32)).boxes.tolist() == [[0, 0, 64, 32]]
