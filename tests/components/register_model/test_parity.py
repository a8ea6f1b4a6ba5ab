"""The comparison of an export with its network: it sees what differs and forgives what does not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from components.register_model import parity as module
from components.register_model.export import export_onnx
from components.register_model.parity import compare_export, difference
from kd.data.dataset import DetectionData
from kd.detection.decode import Detections
from kd.detection.evaluate import NMSConfig
from kd.files import write_json
from tests.components.lively import SIDE, lively_network

FOUND = Detections(
    torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 40, 40]]), torch.tensor([0.9, 0.9, 0.5]), torch.tensor([1, 1, 0])
)


def picked(*rows: int) -> Detections:
    return Detections(*(part[list(rows)].clone() for part in FOUND))


def test_equal_detections_do_not_differ() -> None:
    assert difference(FOUND, FOUND, 100, 0.25) == (0, 0)
    assert difference(picked(), picked(), 100, 0.25) == (0, 0)


def test_equal_scores_come_in_any_order() -> None:
    assert difference(FOUND, picked(1, 0, 2), 100, 0.25) == (0, 0)


def test_a_moved_box_counts_in_shares_of_the_side() -> None:
    moved = picked(0, 1, 2)
    moved.boxes[2, 3] += 5
    assert difference(FOUND, moved, 100, 0.25) == pytest.approx((0.05, 0))


def test_outside_the_square_boxes_may_be_anywhere() -> None:
    ours, theirs = picked(0, 1, 2), picked(0, 1, 2)
    ours.boxes[0, 0], theirs.boxes[0, 0] = -1000, -1010
    assert difference(ours, theirs, 100, 0.25) == (0, 0)


def test_a_changed_score_counts() -> None:
    changed = picked(0, 1, 2)
    changed.scores[2] -= 0.125
    assert difference(FOUND, changed, 100, 0.25) == pytest.approx((0, 0.125))


@pytest.mark.parametrize("swap", [False, True])
def test_a_missing_detection_counts_by_what_would_make_it_vanish(swap: bool) -> None:
    pair = (picked(0, 1), FOUND) if swap else (FOUND, picked(0, 1))
    assert difference(*pair, 100, 0.499) == pytest.approx((0, 0.001))
    assert difference(*pair, 100, 0.25) == pytest.approx((0, 0.25))


def test_another_class_is_another_detection() -> None:
    other = picked(0, 1, 2)
    other.labels[2] = 1
    assert difference(FOUND, other, 100, 0.25)[1] == pytest.approx(0.25)


@pytest.fixture
def data(tmp_path: Path) -> DetectionData:
    """Eleven pictures of noise, of different shapes."""
    noise = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    images = [{"id": i, "file_name": f"{i}.png", "width": 40 + 5 * i, "height": 70} for i in range(1, 12)]
    for i in range(1, 12):
        Image.fromarray(noise.integers(0, 256, (70, 40 + 5 * i, 3)).astype(np.uint8)).save(tmp_path / "images" / f"{i}.png")
    write_json(tmp_path / "annotations.json", {"images": images, "annotations": [], "categories": [{"id": 1, "name": "class 0"}]})
    return DetectionData(tmp_path, SIDE)


def test_an_export_agrees_with_its_network_and_not_with_another(
    data: DetectionData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, spec = lively_network()
    nms = NMSConfig(0.3, 0.5, 20)
    export_onnx(network, spec, tmp_path / "model.onnx", nms)
    found = compare_export(network, spec, tmp_path / "model.onnx", data, nms, pictures=10)
    assert found.pictures == 10 and found.detections > 30
    assert found.box_difference < 1e-5 and found.score_difference < 1e-5
    assert compare_export(network, spec, tmp_path / "model.onnx", data, nms, pictures=99).pictures == 11
    other, _ = lively_network(seed=1)
    assert compare_export(other, spec, tmp_path / "model.onnx", data, nms, pictures=3).score_difference > 0.05
    monkeypatch.setattr(module, "BATCH", 4)
    assert compare_export(network, spec, tmp_path / "model.onnx", data, nms, pictures=10)[:2] == found[:2]
