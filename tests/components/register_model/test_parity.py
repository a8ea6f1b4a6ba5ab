"""The comparison of an export with its network: it finds differences, and ignores the order of equal scores."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from components.register_model import parity as parity_module
from components.register_model.export import export_onnx
from components.register_model.parity import compare_export, difference, find_ties
from kd.data.dataset import DetectionData
from kd.detection.decode import Detections
from kd.detection.evaluate import NMSConfig
from kd.files import write_json
from tests.components.random_networks import SIDE, random_network
from tests.packed import pack

DETECTIONS = Detections(
    torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 40, 40]]), torch.tensor([0.9, 0.9, 0.5]), torch.tensor([1, 1, 0])
)


def select(*rows: int) -> Detections:
    return Detections(*(part[list(rows)].clone() for part in DETECTIONS))


def test_equal_detections_do_not_differ() -> None:
    assert difference(DETECTIONS, DETECTIONS, 100, 0.25) == (0, 0)
    assert difference(select(), select(), 100, 0.25) == (0, 0)


def test_equal_scores_may_come_in_any_order() -> None:
    assert difference(DETECTIONS, select(1, 0, 2), 100, 0.25) == (0, 0)


def test_a_moved_box_counts_as_a_fraction_of_the_image_size() -> None:
    moved = select(0, 1, 2)
    moved.boxes[2, 3] += 5
    assert difference(DETECTIONS, moved, 100, 0.25) == pytest.approx((0.05, 0))


def test_parts_of_boxes_outside_the_picture_do_not_count() -> None:
    expected, actual = select(0, 1, 2), select(0, 1, 2)
    expected.boxes[0, 0], actual.boxes[0, 0] = -1000, -1010
    assert difference(expected, actual, 100, 0.25) == (0, 0)


def test_a_changed_score_counts() -> None:
    changed = select(0, 1, 2)
    changed.scores[2] -= 0.125
    assert difference(DETECTIONS, changed, 100, 0.25) == pytest.approx((0, 0.125))


def test_of_two_boxes_with_equal_scores_either_may_be_kept() -> None:
    """The two overlap, so that non-maximum suppression keeps one; rounding of their scores decides which."""
    boxes = torch.tensor([[0.0, 0, 100, 100], [3, 0, 100, 100], [0, 0, 100, 94]])
    scores = torch.tensor([[0.1, 0.4], [0.2, 0.4 - 1e-8], [0.1, 0.39]])
    expected, actual, third = (Detections(boxes[[row]], scores[[row], [1]], torch.tensor([1])) for row in range(3))
    ties = find_ties(expected, boxes, scores, 0.6)
    assert difference(expected, actual, 100, 0.25) == pytest.approx((0.03, 0), abs=1e-6)
    assert difference(expected, actual, 100, 0.25, ties) == pytest.approx((0, 0), abs=1e-6)
    assert difference(expected, third, 100, 0.25, ties) == pytest.approx((0.06, 0.01), abs=1e-6), "its score differs"
    apart = find_ties(expected, boxes, scores, 0.99)
    assert difference(expected, actual, 100, 0.25, apart) == pytest.approx((0.03, 0), abs=1e-6), "both would be kept"


@pytest.mark.parametrize("swap", [False, True])
def test_a_missing_detection_counts_as_its_score_above_the_confidence(swap: bool) -> None:
    pair = (select(0, 1), DETECTIONS) if swap else (DETECTIONS, select(0, 1))
    assert difference(*pair, 100, 0.499) == pytest.approx((0, 0.001))
    assert difference(*pair, 100, 0.25) == pytest.approx((0, 0.25))


def test_detections_of_different_classes_are_not_matched() -> None:
    other = select(0, 1, 2)
    other.labels[2] = 1
    assert difference(DETECTIONS, other, 100, 0.25)[1] == pytest.approx(0.25)


@pytest.fixture
def data(tmp_path: Path) -> DetectionData:
    """Eleven noise pictures of different shapes."""
    noise = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    images = [{"id": i, "file_name": f"{i}.png", "width": 40 + 5 * i, "height": 70} for i in range(1, 12)]
    for i in range(1, 12):
        Image.fromarray(noise.integers(0, 256, (70, 40 + 5 * i, 3)).astype(np.uint8)).save(tmp_path / "images" / f"{i}.png")
    write_json(tmp_path / "annotations.json", {"images": images, "annotations": [], "categories": [{"id": 1, "name": "class 0"}]})
    return DetectionData(pack(tmp_path), SIDE)


def test_an_export_equals_its_network_and_differs_from_another(
    data: DetectionData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, spec = random_network()
    nms = NMSConfig(0.3, 0.5, 20)
    export_onnx(network, spec, tmp_path / "model.onnx", nms)
    parity = compare_export(network, spec, tmp_path / "model.onnx", data, nms, pictures=10)
    assert parity.pictures == 10 and parity.detections > 30
    assert parity.box_difference < 1e-5 and parity.score_difference < 1e-5
    assert compare_export(network, spec, tmp_path / "model.onnx", data, nms, pictures=99).pictures == 11
    other, _ = random_network(seed=1)
    assert compare_export(other, spec, tmp_path / "model.onnx", data, nms, pictures=3).score_difference > 0.05
    monkeypatch.setattr(parity_module, "BATCH", 4)
    assert compare_export(network, spec, tmp_path / "model.onnx", data, nms, pictures=10)[:2] == parity[:2]
