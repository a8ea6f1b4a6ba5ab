"""Every picture is decoded before anything is written."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.prepare_data import inspection
from components.prepare_data.inspection import check_sizes, drop_unreadable, inspect_picture, inspect_pictures, picture_findings
from components.prepare_data.layouts.dataset import RawDataset
from components.shared.boxes import Box, LabeledPicture
from kd.data import letterbox
from kd.data.letterbox import decode_picture
from kd.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def save(path, pixels=PIXELS, orientation=1, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **options)
    return path


def dataset(*paths, size=(32, 24)):
    pictures = [LabeledPicture(path, *size, [Box(0, 1, 1, 5, 5)], Path("labels.json")) for path in paths]
    return RawDataset(["a"], {"train": pictures})


def test_the_digest_is_of_the_upright_pixels_whatever_the_format(tmp_path):
    png, bmp = save(tmp_path / "a.png"), save(tmp_path / "b.bmp")
    turned = save(tmp_path / "c.png", np.ascontiguousarray(np.rot90(PIXELS)), orientation=6)
    other = save(tmp_path / "d.png", PIXELS[::-1].copy())
    digests = [inspect_picture(path).digest for path in (png, bmp, turned, other)]
    assert digests[0] == digests[1] == digests[2] != digests[3]
    assert inspect_picture(turned).size == (32, 24) and inspect_picture(turned).orientation == 6


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_tiff_is_inspected_as_it_is_trained_on(tmp_path, orientation):
    found = inspect_picture(save(tmp_path / "a.tif", orientation=orientation))
    assert found == inspect_picture(save(tmp_path / "a.png", orientation=orientation))
    assert found.orientation == orientation and found.size == decode_picture(tmp_path / "a.tif").size


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "not a picture"), (b"text", "not a picture"), (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture")],
)
def test_what_is_not_a_picture(tmp_path, content, reason):
    (tmp_path / "a.jpg").write_bytes(content)
    assert reason in inspect_picture(tmp_path / "a.jpg").error
    assert inspect_picture(tmp_path / "b.jpg").error == "the file is missing"


def test_all_broken_pictures_are_named_at_once(tmp_path):
    paths = [save(tmp_path / f"{i:02}.png") for i in range(15)]
    for path in paths[:12]:
        path.write_bytes(path.read_bytes()[:60])
    data = dataset(*paths)
    inspections = inspect_pictures(data)
    with pytest.raises(InputError) as error:
        drop_unreadable(data, inspections, skip=False)
    assert "12 pictures cannot be decoded" in str(error.value) and "and 2 more" in str(error.value)
    assert all(str(path) in str(error.value) for path in paths[:10]) and len(data.splits["train"]) == 15
    (finding,) = drop_unreadable(data, inspections, skip=True)
    assert finding.count == 12 and [picture.path for picture in data.splits["train"]] == paths[12:]


def test_sizes_are_compared_once_for_all(tmp_path):
    paths = [save(tmp_path / f"{i}.png") for i in range(3)]
    right, wrong = dataset(*paths), dataset(*paths, size=(24, 32))
    check_sizes(right, inspect_pictures(right))
    with pytest.raises(InputError, match=r"labels\.json: width and height of 0\.png are 24x32, .*, and 2 other pictures: 1\.png"):
        check_sizes(wrong, inspect_pictures(wrong))


def test_dark_and_turned_pictures_are_doubtful(tmp_path):
    deep = tmp_path / "deep.png"
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 15).save(deep)
    full = tmp_path / "full.png"
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(full)
    data = dataset(deep, full, save(tmp_path / "turned.png", orientation=3), save(tmp_path / "good.png"))
    found = {finding.check: finding.examples for finding in picture_findings(data, inspect_pictures(data))}
    assert found == {"12-bit pictures": ["deep.png"], "upside-down pictures": ["turned.png"]}


def save_16_bit_colors(path, pixels):
    """A PNG with 16 bits per color, which Pillow reads and cannot write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    content = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))
    return path


def test_16_bit_colors_that_would_be_black_are_refused(tmp_path):
    pixels = PIXELS.astype(np.uint16)
    assert "almost black; convert it to 8 bits" in inspect_picture(save_16_bit_colors(tmp_path / "a.png", pixels * 16)).error
    assert inspect_picture(save_16_bit_colors(tmp_path / "b.png", pixels * 256)).digest == inspect_picture(save(tmp_path / "c.png")).digest
    assert not inspect_picture(save(tmp_path / "d.png", PIXELS // 20)).error


@pytest.mark.parametrize("name", ["a.tif", "a.webp", "a.png"])
def test_further_pages_and_frames_are_reported(tmp_path, name):
    pages = [Image.fromarray(PIXELS[::step]).resize((32, 24)) for step in (-1, 2)]
    data = dataset(save(tmp_path / name, save_all=True, append_images=pages), save(tmp_path / "b.png"))
    (finding,) = picture_findings(data, inspect_pictures(data))
    assert (finding.check, finding.examples) == ("pictures with pages", [f"{name}: 3"])


def test_the_preview_in_a_photograph_of_a_phone_is_no_page(tmp_path):
    image = Image.fromarray(PIXELS)
    image.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[image])
    data = dataset(tmp_path / "a.jpg")
    assert picture_findings(data, inspect_pictures(data)) == []


def test_the_cause_of_an_unknown_format_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    assert "run `git lfs pull`" in inspect_picture(tmp_path / "a.jpg").error
    monkeypatch.setattr(letterbox, "formats", lambda: ["JPEG"])
    monkeypatch.setattr(inspection, "formats", lambda: ["JPEG"])
    (tmp_path / "b.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 99)
    assert inspect_picture(tmp_path / "b.heic").error == "HEIC needs `pip install 'kdflow[heif]'`"
