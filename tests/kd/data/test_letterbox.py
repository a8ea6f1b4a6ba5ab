"""The part of reading pictures that travels with a registered model."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from kd.data.letterbox import Letterbox, decode_picture, from_array, letterbox_array

ROOT = Path(__file__).parents[3]


def test_it_needs_pillow_and_numpy_alone() -> None:
    program = "import sys, kd.data.letterbox; print({name.split('.')[0] for name in sys.modules} & {'torch', 'torchvision', 'mlflow'})"
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_it_runs_away_from_its_package() -> None:
    imported = [line for line in (ROOT / "kd/data/letterbox.py").read_text().splitlines() if line.startswith(("import kd", "from kd"))]
    assert imported == []


def test_arrays_move_as_tensors_do() -> None:
    boxes = torch.tensor([[0.0, 1.0, 20.0, 40.0], [5.5, 6.5, 7.5, 8.5]])
    frame = Letterbox(0.3, 3, 11)
    for move in (frame.into, frame.back):
        moved = move(boxes.numpy())
        assert moved.dtype == np.float32
        np.testing.assert_allclose(moved, move(boxes).numpy(), rtol=1e-6)
    assert frame.to_square(boxes)[0].tolist() == pytest.approx([3, 11.3, 9, 23])
    assert boxes[0].tolist() == [0, 1, 20, 40], "the boxes that were given stay as they are"


def test_a_file_and_its_content_are_the_same_picture(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / "x.jpg")
    with (tmp_path / "x.jpg").open("rb") as stream:
        assert decode_picture(stream).tobytes() == decode_picture(tmp_path / "x.jpg").tobytes()


def test_a_thin_picture_keeps_a_pixel() -> None:
    square, frame = letterbox_array(Image.new("RGB", (1000, 1), "white"), 32)
    assert square.shape == (32, 32, 3) and int((square == 255).all(axis=2).sum()) == 32 and frame == (0.032, 0, 15)


@pytest.mark.parametrize("array", [np.zeros((8, 8), np.uint16), np.zeros((8, 8, 2), np.uint8), np.zeros((0, 8), np.uint8)])
def test_an_array_that_is_no_picture_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"is an array of uint\d+ \["):
        from_array(array)
