from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kd.detector import Detector
from kd.errors import InputError
from kd.model.build import Network, build_model
from kd.model.spec import ModelSpec

LANDSCAPE = (64, 32)
"""Its size in the square of 32 pixels is 32 x 16, 8 pixels from the top: the box (6, 11, 26, 21) becomes (12, 6, 52, 26)."""


def test_boxes_are_in_the_pixels_of_the_picture(model_file: Path) -> None:
    detector = Detector.load(model_file, "cpu")
    wide, tall = detector([Image.new("RGB", LANDSCAPE), Image.new("L", (32, 64))])
    assert wide.boxes.tolist() == [pytest.approx([12, 6, 52, 26], abs=1e-3)]
    assert tall.boxes.tolist() == [pytest.approx([0, 22, 32, 42], abs=1e-3)]
    assert [detector.classes[label] for label in wide.labels] == ["dog"]
    assert float(wide.scores[0]) == pytest.approx(torch.tensor(2.0).sigmoid().item(), abs=1e-5)


def test_boxes_are_clipped_to_the_picture(model_file: Path) -> None:
    [found] = Detector.load(model_file, "cpu")([Image.new("RGB", (32, 8))])  # rows 12 to 20 of the square; the box has rows 11 to 21
    assert found.boxes.tolist() == [pytest.approx([6, 0, 26, 8], abs=1e-3)]


@pytest.mark.parametrize("shape", [(32, 64), (32, 64, 3), (32, 64, 4)])
def test_arrays_are_pictures(model_file: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    [found] = Detector.load(model_file, "cpu")([array])
    assert found.boxes.tolist() == [pytest.approx([12, 6, 52, 26], abs=1e-3)]


@pytest.mark.parametrize(
    "array", [np.zeros((8, 8), np.float32), np.zeros((8, 8, 2), np.uint8), np.zeros((2, 8, 8, 3), np.uint8), np.zeros((0, 8, 3), np.uint8)]
)
def test_an_array_that_is_not_a_picture_is_rejected(model_file: Path, array: np.ndarray) -> None:
    with pytest.raises(InputError, match="uint8"):
        Detector.load(model_file, "cpu")([array])


def test_a_file_is_turned_upright(model_file: Path, tmp_path: Path) -> None:
    sideways = Image.new("RGB", (32, 64))
    sideways.getexif()[0x0112] = 6
    sideways.save(tmp_path / "turned.jpg", exif=sideways.getexif())
    [found] = Detector.load(model_file, "cpu")([str(tmp_path / "turned.jpg")])
    assert found.boxes.tolist() == [pytest.approx([12, 6, 52, 26], abs=1e-3)]


def test_the_batch_size_does_not_change_the_detections(spec: ModelSpec) -> None:
    network = build_model(spec, seed=1)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (int(h), int(w), 3), dtype=np.uint8) for h, w in rng.integers(20, 90, (5, 2))]
    together = Detector(network, spec, "cpu", batch=2)(pictures, confidence=0.001)
    separate = [Detector(network, spec, "cpu")([picture], confidence=0.001)[0] for picture in pictures]
    assert sum(len(found.scores) for found in separate) > 0
    for one, other in zip(together, separate, strict=True):
        assert torch.equal(one.labels, other.labels)
        torch.testing.assert_close(one.boxes, other.boxes, rtol=1e-4, atol=1e-3)


def test_confidence_and_max_detections_limit_the_detections(confident_network: Network, spec: ModelSpec) -> None:
    detector = Detector(confident_network, spec, "cpu")
    assert len(detector([Image.new("RGB", (32, 32))], confidence=0.9)[0].scores) == 0
    assert len(detector([Image.new("RGB", (32, 32))], max_detections=0)[0].scores) == 0
    assert detector([]) == []


def test_an_unknown_device_is_rejected(model_file: Path) -> None:
    with pytest.raises(InputError, match="device nonsense"):
        Detector.load(model_file, "nonsense")
