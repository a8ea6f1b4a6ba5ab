"""The module that is copied into registered models."""

import contextlib
import io
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from kd.data.letterbox import (
    EXTENSIONS,
    TRANSPOSE,
    Letterbox,
    UnreadablePicture,
    as_rgb,
    decode_picture,
    formats,
    from_array,
    letterbox_array,
    open_picture,
    orientation,
    shown_size,
    used_bits,
)

ROOT = Path(__file__).parents[3]


def test_the_module_imports_only_pillow_and_numpy() -> None:
    program = "import sys, kd.data.letterbox; print({name.split('.')[0] for name in sys.modules} & {'torch', 'torchvision', 'mlflow'})"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_the_module_imports_nothing_from_kd() -> None:
    imported = [line for line in (ROOT / "kd/data/letterbox.py").read_text().splitlines() if line.startswith(("import kd", "from kd"))]
    assert imported == []


def test_arrays_are_converted_like_tensors() -> None:
    boxes = torch.tensor([[0.0, 1.0, 20.0, 40.0], [5.5, 6.5, 7.5, 8.5]])
    position = Letterbox(0.3, 3, 11)
    for move in (position.to_square, position.to_picture):
        moved = move(boxes.numpy())
        assert moved.dtype == np.float32
        np.testing.assert_allclose(moved, move(boxes).numpy(), rtol=1e-6)
    assert position.to_square(boxes)[0].tolist() == pytest.approx([3, 11.3, 9, 23])
    assert boxes[0].tolist() == [0, 1, 20, 40], "the argument is not changed"


def test_a_file_and_its_content_are_the_same_picture(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(tmp_path / "x.jpg")
    with (tmp_path / "x.jpg").open("rb") as stream:
        assert decode_picture(stream).tobytes() == decode_picture(tmp_path / "x.jpg").tobytes()


def test_a_thin_picture_keeps_a_pixel() -> None:
    square, position = letterbox_array(Image.new("RGB", (1000, 1), "white"), 32)
    assert square.shape == (32, 32, 3) and int((square == 255).all(axis=2).sum()) == 32 and position == (0.032, 0, 15)


@pytest.mark.parametrize("array", [np.zeros((8, 8), np.uint16), np.zeros((8, 8, 2), np.uint8), np.zeros((0, 8), np.uint8)])
def test_an_array_that_is_not_a_picture_is_rejected(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"is an array of uint\d+ \["):
        from_array(array)


COLORS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10


def exif(**entries: bytes) -> bytes:
    """EXIF data with orientation 6 and further entries as in a damaged file: raw bytes of type, count and value."""
    tags = {0x0112: b"\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00", **{int(name[1:], 16): value for name, value in entries.items()}}
    rows = b"".join(tag.to_bytes(2, "little") + value for tag, value in sorted(tags.items()))
    return b"Exif\0\0II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + rows + b"\0\0\0\0"


@pytest.mark.parametrize("number", range(1, 9))
def test_a_picture_is_turned_as_pillow_turns_it(number: int, tmp_path: Path) -> None:
    image = Image.fromarray(COLORS)
    data = image.getexif()
    data[0x0112] = number
    image.save(tmp_path / "a.png", exif=data)
    with Image.open(tmp_path / "a.png") as opened:
        expected = ImageOps.exif_transpose(opened)
        assert orientation(opened) == number and shown_size(opened) == expected.size
    assert decode_picture(tmp_path / "a.png").tobytes() == expected.tobytes()


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16"])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_tiff_is_turned_once_and_its_size_is_known_before(number: int, mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(COLORS[..., 0].astype(np.uint16) << 8) if mode == "I;16" else Image.fromarray(COLORS).convert(mode)
    data = Image.Exif()
    data[0x0112] = number
    image.save(tmp_path / "a.tif", exif=data)
    expected = as_rgb(image if number == 1 else image.transpose(TRANSPOSE[number]))
    with open_picture(tmp_path / "a.tif") as opened:
        assert shown_size(opened) == expected.size
    assert decode_picture(tmp_path / "a.tif").tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "entry",
    [
        b"\x02\x00\x05\x00\x00\x00\x08\x00\x00\x00",  # XResolution as text at an offset
        b"\x05\x00\x01\x00\x00\x00\xff\xff\xff\x7f",  # a rational number beyond the end of the file
        b"\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00",  # a double without values
        b"\x99\x00\x01\x00\x00\x00\x00\x00\x00\x00",  # an unknown type
        b"\x03\x00\xff\xff\xff\x7f\x00\x00\x00\x00",  # two billion values
    ],
)
def test_damaged_exif_data_are_ignored(entry: bytes, tmp_path: Path) -> None:
    for tag in ("x011a", "x0213", "x8769", "x8825"):
        Image.fromarray(COLORS).save(tmp_path / "a.jpg", exif=exif(**{tag: entry}))
        assert decode_picture(tmp_path / "a.jpg").size in {(2, 4), (4, 2)}
        with open_picture(tmp_path / "a.jpg") as image:
            assert shown_size(image) == decode_picture(tmp_path / "a.jpg").size


@pytest.mark.parametrize("size", [(4000, 1000), (1000, 4000), (900, 900), (300, 100)])
def test_a_jpeg_is_decoded_at_a_fraction_that_keeps_the_longer_side(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size).save(tmp_path / "a.jpg")
    longer = max(decode_picture(tmp_path / "a.jpg", at_least=128).size)
    assert longer >= 128 and (longer < 256 or longer == max(size) // 8)


def test_12_bit_pixels_are_scaled_by_their_own_range() -> None:
    deep, shallow = (np.linspace(0, top, 64).astype(np.uint16).reshape(8, 8) for top in (65535, 4095))
    for array, bits in ((deep, 16), (shallow, 12)):
        image = Image.fromarray(array)
        assert used_bits(image) == bits
        values = np.asarray(as_rgb(image))[..., 0]
        assert values.min() == 0 and values.max() == 255


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_pixels_are_rejected(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (4, 4), 1000).save(tmp_path / "a.tif")
    with pytest.raises(UnreadablePicture, match="32-bit"):
        decode_picture(tmp_path / "a.tif")


def test_only_listed_decoders_are_used(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n")
    with pytest.raises(UnreadablePicture, match="known format"):
        decode_picture(tmp_path / "a.jpg")
    assert set(formats()) <= set(EXTENSIONS.values()) and {"JPEG", "PNG", "BMP", "WEBP", "TIFF"} <= set(formats())


@given(
    cut=st.floats(0, 0.98), noise=st.binary(max_size=40), at=st.floats(0, 1), kind=st.sampled_from(["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
)
@settings(max_examples=150)
def test_a_damaged_file_is_unreadable_or_decoded(cut: float, noise: bytes, at: float, kind: str) -> None:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(whole, kind)
    content = whole.getvalue()
    damaged = content[: int(len(content) * (1 - cut))]
    start = int(at * len(damaged))
    damaged = damaged[:start] + noise + damaged[start + len(noise) :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(UnreadablePicture):
            assert decode_picture(io.BytesIO(damaged)).mode == "RGB"
