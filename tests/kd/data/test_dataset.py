import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from kd.data.dataset import DetectionData
from kd.errors import InputError
from tests.packed import packed, replace_picture

WriteSplit = Callable[..., Path]
PICTURES = [(64, 32, [(1, 4.0, 6.0, 20.0, 10.0), (0, 0.0, 0.0, 8.0, 8.0)]), (32, 64, [])]


def edit(folder: Path, change: Callable[[dict], None]) -> Path:
    annotations = json.loads((folder / "annotations.json").read_text())
    change(annotations)
    (folder / "annotations.json").write_text(json.dumps(annotations))
    return folder


def test_objects_are_in_the_pixels_of_their_picture(write_split: WriteSplit) -> None:
    data = DetectionData(write_split(PICTURES), 64)
    assert len(data) == 2 and data.classes == ("cat", "dog") and data.sizes == [(64, 32), (32, 64)]
    boxes, labels = data.objects(0)
    assert boxes.tolist() == [[4, 6, 24, 16], [0, 0, 8, 8]] and labels.tolist() == [1, 0]
    boxes, labels = data.objects(1)
    assert boxes.shape == (0, 4) and labels.shape == (0,) and labels.dtype == torch.int64


def test_a_picture_is_letterboxed(write_split: WriteSplit) -> None:
    square, position = DetectionData(write_split(PICTURES), 96).letterboxed(1)
    assert square.shape == (3, 96, 96) and square.dtype == torch.uint8 and tuple(position) == (1.5, 24, 0)


def test_a_picture_is_opened_by_its_index(write_split: WriteSplit) -> None:
    data = DetectionData(write_split(PICTURES), 64)
    assert data.names == ["0.png", "1.png"] and data.picture(1).size == data.sizes[1]
    with data.open(1) as stream:
        assert stream.read() == packed(data.folder)["1.png"]
    assert stream.name == f"{data.folder}/pictures-00000.tar, 11.png (1.png)"


def test_a_damaged_picture_is_named_with_its_shard(write_split: WriteSplit) -> None:
    folder = write_split(PICTURES)
    replace_picture(folder, "1.png", packed(folder)["1.png"][:-50])
    message = r"train/pictures-00000\.tar, 11\.png \(1\.png\): picture cannot be decoded \(.*truncated.*\); run prepare_data again"
    with pytest.raises(InputError, match=message):
        DetectionData(folder, 64).letterboxed(1)


def test_boxes_fit_a_picture_that_was_scaled_down(write_split: WriteSplit) -> None:
    """Sizes and boxes are those of the original, and so is the position in the square."""
    before = DetectionData(write_split(PICTURES), 32)
    square, position = before.letterboxed(0)
    small = io.BytesIO()
    before.picture(0).resize((32, 16), Image.Resampling.BILINEAR).save(small, "PNG")
    replace_picture(before.folder, "0.png", small.getvalue())
    after = DetectionData(before.folder, 32)
    assert after.picture(0).size == (32, 16) and after.sizes == before.sizes
    assert after.letterboxed(0)[1] == position and torch.equal(after.letterboxed(0)[0], square)
    assert torch.equal(after.objects(0)[0], before.objects(0)[0])


def test_crowds_are_left_out_of_training(write_split: WriteSplit) -> None:
    folder = edit(write_split(PICTURES), lambda annotations: annotations["annotations"][0].update(iscrowd=1))
    assert DetectionData(folder, 64).objects(0)[1].tolist() == [0]


def test_category_ids_may_have_gaps(write_split: WriteSplit) -> None:
    def renumber(annotations: dict) -> None:
        for row in annotations["categories"]:
            row["id"] *= 10
        for row in annotations["annotations"]:
            row["category_id"] *= 10

    assert DetectionData(edit(write_split(PICTURES), renumber), 64).objects(0)[1].tolist() == [1, 0]


@pytest.mark.parametrize("field", ["categories", "images", "annotations"])
def test_a_missing_field_is_reported(field: str, write_split: WriteSplit) -> None:
    with pytest.raises(InputError, match=field):
        DetectionData(edit(write_split(PICTURES), lambda annotations: annotations.pop(field) and None), 64)


def test_missing_files_are_reported(write_split: WriteSplit, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere/annotations\.json: is missing"):
        DetectionData(tmp_path / "nowhere", 64)
    data = DetectionData(write_split(PICTURES), 64)
    (data.folder / "pictures-00000.tar").unlink()
    with pytest.raises(InputError, match=r"pictures-00000\.tar: cannot be read \(No such file or directory\); .*run prepare_data again"):
        data.letterboxed(0)
