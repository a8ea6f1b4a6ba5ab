from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kd.data.pictures import letterbox_tensor, read_picture
from kd.errors import InputError


@pytest.mark.parametrize(("size", "frame"), [((100, 50), (0.64, 0, 16)), ((50, 100), (0.64, 16, 0)), ((20, 20), (3.2, 0, 0))])
def test_a_picture_is_centered_on_grey(size: tuple[int, int], frame: tuple[float, int, int]) -> None:
    square, found = letterbox_tensor(Image.new("RGB", size, "white"), 64)
    assert square.shape == (3, 64, 64) and square.dtype == torch.uint8 and tuple(found) == frame
    _, left, top = frame
    inside = square[:, top : 64 - top, left : 64 - left]
    assert (inside == 255).all() and int((square == 128).sum()) == square.numel() - inside.numel()


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 13))
def test_boxes_are_converted_to_the_square_and_back(width: int, height: int, cells: int) -> None:
    _, frame = letterbox_tensor(Image.new("RGB", (width, height)), 32 * cells)
    boxes = torch.tensor([[0.0, 0.0, width, height], [0.25 * width, 0.5 * height, 0.75 * width, height]])
    inside = frame.to_square(boxes)
    torch.testing.assert_close(frame.to_picture(inside), boxes, rtol=1e-5, atol=1e-3)
    assert float(inside.min()) >= -1 and float(inside.max()) <= 32 * cells + 1


def test_boxes_refer_to_the_original_if_a_fraction_was_decoded() -> None:
    _, frame = letterbox_tensor(Image.new("RGB", (25, 50)), 64, original=(200, 400))
    assert frame.to_square(torch.tensor([[0.0, 0.0, 200.0, 400.0]])).tolist() == [[16, 0, 48, 64]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(orientation: int, tmp_path: Path) -> None:
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:20, :40] = 255  # bright at the upper left
    back = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    stored = Image.fromarray(picture)
    stored = stored.transpose(Image.Transpose[back[orientation]]) if orientation > 1 else stored
    stored.getexif()[0x0112] = orientation
    stored.save(tmp_path / "x.jpg", exif=stored.getexif(), quality=95)
    upright = np.asarray(read_picture(tmp_path / "x.jpg"))
    assert upright.shape == picture.shape and np.abs(upright.astype(int) - picture).mean() < 5


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_picture_becomes_rgb(mode: str, tmp_path: Path) -> None:
    grey = np.full((8, 8), 120, np.uint8)
    deep, rgb = Image.fromarray(grey.astype(np.uint16) * 257), Image.fromarray(grey).convert("RGB")
    image = {"I;16": deep, "P": rgb.quantize()}.get(mode) or rgb.convert(mode)
    image.save(tmp_path / ("x.tif" if mode == "CMYK" else "x.png"))
    read = read_picture(next(tmp_path.iterdir()))
    assert read.mode == "RGB" and (mode == "1" or np.abs(np.asarray(read).astype(int) - 120).max() <= 3)


def test_a_large_jpeg_may_be_decoded_small_but_not_too_small(tmp_path: Path) -> None:
    Image.new("RGB", (1600, 800)).save(tmp_path / "x.jpg")
    assert read_picture(tmp_path / "x.jpg").size == (1600, 800)
    width, height = read_picture(tmp_path / "x.jpg", at_least=200).size
    assert 200 <= width < 1600 and width == 2 * height


def test_a_picture_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "half.jpg")
    whole = (tmp_path / "half.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no picture")
    for name, problem in (("half.jpg", "cannot be decoded"), ("text.png", "cannot be decoded"), ("none.png", "missing")):
        with pytest.raises(InputError, match=f"{name}: picture .*{problem}"):
            read_picture(tmp_path / name)


def test_a_picture_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "a.jpg")

    monkeypatch.setattr("kd.data.pictures.decode_picture", refuse)  # root has every permission
    with pytest.raises(InputError, match=r"a\.jpg: picture cannot be read; give this user permission to read it"):
        read_picture(tmp_path / "a.jpg")
