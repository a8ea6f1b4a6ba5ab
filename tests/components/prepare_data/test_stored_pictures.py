"""What is stored of a picture: its bytes, or what training makes use of."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from components.prepare_data import stored_pictures
from components.prepare_data.layouts import pictures as parallel
from components.prepare_data.stored_pictures import encode_picture, store_pictures
from components.shared.boxes import LabeledPicture
from kd.data.letterbox import decode_picture
from kd.data.pictures import letterbox_tensor, read_picture
from kd.files import digest
from tests.components.prepared import annotations, contents
from tests.packed import packed

SIZE = 96


@pytest.fixture
def photograph(tmp_path: Path) -> LabeledPicture:
    """A photograph of 640 x 427 pixels, as a JPEG file with a comment."""
    file = tmp_path / "photograph.JPG"
    Image.fromarray(load_sample_images().images[0]).save(file, quality=90, comment="by hand")
    return LabeledPicture(file, 640, 427, [], file)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_a_picture_that_is_small_enough_keeps_its_bytes(photograph: LabeledPicture) -> None:
    for longest in (640, 10_000, None):
        assert encode_picture(photograph, longest, photograph.path.parent) == (
            ".jpg",
            photograph.path.read_bytes(),
            digest(photograph.path),
        )


def test_a_larger_picture_becomes_a_good_jpeg(photograph: LabeledPicture) -> None:
    extension, content, sha256 = encode_picture(photograph, 639, photograph.path.parent)
    assert extension == ".jpg" and sha256 == digest(photograph.path)
    with opened(content) as image:
        assert image.format == "JPEG" and image.size == (639, 426) and "comment" not in image.info
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3, "4:4:4"  # type: ignore[attr-defined]
        tables = image.quantization  # type: ignore[attr-defined]
    reference = io.BytesIO()
    Image.new("RGB", (8, 8)).save(reference, "JPEG", quality=95)
    assert tables == opened(reference.getvalue()).quantization  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [SIZE, 416])
def test_training_sees_the_same_but_for_jpegs_loss(photograph: LabeledPicture, size: int) -> None:
    """Without that loss, the square is the same, pixel by pixel: it is scaled once, as before."""
    original = (photograph.width, photograph.height)
    before, frame = letterbox_tensor(read_picture(photograph.path, at_least=size), size, original)
    stored = decode_picture(io.BytesIO(encode_picture(photograph, size, photograph.path.parent)[1]), at_least=size)
    square, new_frame = letterbox_tensor(stored, size, original)
    assert new_frame == frame and square.shape == before.shape
    difference = (square.float() - before.float()).abs()
    assert 0 < difference.mean() < 2 and difference.max() < 40


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_scaled_picture_is_upright(photograph: LabeledPicture, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(photograph.path) as image:
        image.save(photograph.path, quality=95, exif=exif)
    shown = decode_picture(photograph.path)
    picture = LabeledPicture(photograph.path, *shown.size, [], photograph.path)
    with opened(encode_picture(picture, SIZE, picture.path.parent)[1]) as stored:
        assert stored.size == ((64, SIZE) if orientation >= 5 else (SIZE, 64)) and not stored.getexif()
        expected = np.asarray(shown.resize(stored.size, Image.Resampling.BILINEAR), np.float32)
        assert np.abs(np.asarray(stored, np.float32) - expected).mean() < 6


def test_thin_transparent_and_16_bit_pictures_are_scaled(tmp_path: Path) -> None:
    pictures = {
        "thin.png": Image.new("RGB", (2000, 3), "red"),
        "clear.png": Image.new("RGBA", (200, 100), (0, 255, 0, 0)),
        "deep.tif": Image.fromarray(np.full((100, 200), 40_000, np.uint16)),
    }
    for name, image in pictures.items():
        image.save(tmp_path / name)
        picture = LabeledPicture(tmp_path / name, *image.size, [], tmp_path / name)
        extension, content, _ = encode_picture(picture, SIZE, picture.path.parent)
        with opened(content) as stored:
            assert extension == ".jpg" and stored.mode == "RGB" and max(stored.size) == SIZE and min(stored.size) >= 1


def test_the_number_of_threads_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pictures = []
    for number in range(40):
        file = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (30 + 5 * number, 90, 3), dtype=np.uint8)).save(file)
        pictures.append(LabeledPicture(file, 90, 30 + 5 * number, [], file))
    found = []
    for threads in (1, 7):
        monkeypatch.setattr(parallel, "available_processors", lambda threads=threads: threads)
        folder = tmp_path / f"with {threads}"
        folder.mkdir()
        digests = store_pictures(folder, pictures, "store", SIZE)
        assert digests == [digest(picture.path) for picture in pictures]
        found.append(contents(folder))
    assert found[0] == found[1] and sum(name.endswith(".tar") for name in found[0]) == 1


def test_only_the_test_split_keeps_large_pictures(writers, data, prepare):  # type: ignore[no-untyped-def]
    """The labels stay in the original's pixels everywhere."""
    large = (160, 100, [(0, 10, 20, 120, 60), (1, 0, 0, 40, 40)])
    for pictures in data.values():
        pictures["large"] = large
    source = writers["coco"](data)
    prepared, whole = prepare(source, f"data.image_size={SIZE}"), prepare(source, "data.image_size=416", output="whole")
    for split in data:
        assert annotations(prepared, split) == annotations(whole, split)
        original, stored = (source / split / "images/large.jpg").read_bytes(), packed(prepared / split)["large.jpg"]
        assert (stored == original) == (split == "test") and packed(whole / split)["large.jpg"] == original
        assert opened(stored).size == ((160, 100) if split == "test" else (SIZE, 60))
        small = [f"{name}.jpg" for name in data[split] if name != "large"]
        assert all(packed(prepared / split)[name] == packed(whole / split)[name] for name in small)


def test_pictures_without_labels_are_scaled_down(writers, data, prepare, tmp_path):  # type: ignore[no-untyped-def]
    (tmp_path / "more").mkdir()
    Image.new("RGB", (300, 200), "blue").save(tmp_path / "more/x.png")
    prepared = prepare(writers["coco"](data), f"data.unlabelled={tmp_path / 'more'}", f"data.image_size={SIZE}")
    assert annotations(prepared, "unlabelled")["images"] == [{"id": 1, "file_name": "x.png", "width": 300, "height": 200}]
    assert opened(packed(prepared / "unlabelled")["x.png"]).size == (SIZE, 64)


def test_few_contents_wait_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads do not run ahead of a slow disk."""
    file = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(file)
    ahead: list[int] = []
    encoded = written = 0

    def counted(picture: LabeledPicture, longest: int | None, folder: Path) -> tuple[str, bytes, str]:
        nonlocal encoded
        encoded += 1
        return ".png", b"x", ""

    def slow(folder: Path, pictures: object) -> None:
        nonlocal written
        for _ in pictures:  # type: ignore[attr-defined]
            written += 1
            ahead.append(encoded - written)

    monkeypatch.setattr(stored_pictures, "encode_picture", counted)
    monkeypatch.setattr(stored_pictures, "write_shards", slow)
    monkeypatch.setattr(parallel, "available_processors", lambda: 2)
    store_pictures(tmp_path, [LabeledPicture(file, 8, 8, [], file)] * 500, "store", None)
    assert written == 500 and max(ahead) <= 10
