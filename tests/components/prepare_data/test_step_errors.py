"""The step `prepare_data` with invalid input: one error message, and no output."""

import shutil

import pytest
from PIL import Image

from kd.errors import InputError
from tests.components.prepared import contents


def truncate(file):
    file.write_bytes(file.read_bytes()[:-200])


def rename(file):
    file.rename(file.with_name("other.jpg"))


def fill_with_text(file):
    file.write_text("no picture")


def empty(file):
    file.write_bytes(b"")


def make_folder(file):
    file.unlink()
    file.mkdir()


def resize(file):
    Image.new("RGB", (41, 20)).save(file)


def decompression_bomb(file):
    # only the size in the header is changed, as in an attack
    content = bytearray(file.read_bytes())
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = (60000).to_bytes(2) * 2
    file.write_bytes(content)


def save_as_eps(file):
    Image.new("RGB", (40, 20)).save(file, "EPS")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (rename, "a.jpg: the picture is missing, also with another suffix"),
        (make_folder, "a.jpg: the picture is missing"),
        (truncate, "a.jpg (image file is truncated"),
        (fill_with_text, "1 picture cannot be decoded: "),
        (save_as_eps, "1 picture cannot be decoded: "),
        (empty, "a.jpg ("),
        (decompression_bomb, "a.jpg (it has more than 64 megapixels, the largest size"),
        (resize, "annotations.json: width and height of a.jpg are 40x20, but the picture has 41x20 pixels"),
    ],
)
def test_an_invalid_picture_is_rejected_without_output(writers, data, prepare, tmp_path, damage, words):
    folder = writers["coco"](data)
    damage(folder / "train" / "images" / "a.jpg")
    with pytest.raises(InputError) as error:
        prepare(folder)
    assert words in str(error.value)
    assert str(error.value).count("; ") == 1
    assert list((tmp_path / "out").iterdir()) == []


def remove_test_split(folder):
    shutil.rmtree(folder / "test")


def remove_annotations(folder):
    for split in ("train", "val", "test"):
        (folder / split / "annotations.json").unlink()


def break_json(folder):
    (folder / "val" / "annotations.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "changes", "words"),
    [
        (remove_annotations, (), "contains no COCO, VOC or YOLO labels"),
        (break_json, (), "val/annotations.json: is not JSON"),
        (remove_test_split, ("data.test=0.0",), "data.path: has no test pictures"),
        (shutil.rmtree, (), "is not a folder"),
        (lambda folder: None, ("data.layout=voc",), "contains no voc labels"),
        (lambda folder: None, ("data.layout=pascal",), "parameter 'data.layout' is 'pascal'"),
        (lambda folder: None, ("data.vall=0.1",), "'data.vall=0.1' is not an assignment to a parameter"),
        (lambda folder: None, ("data.val=many",), "parameter 'data.val' is 'many'"),
    ],
)
def test_an_invalid_dataset_or_parameter_is_rejected_without_output(writers, data, prepare, tmp_path, damage, changes, words):
    folder = writers["coco"](data)
    damage(folder)
    with pytest.raises(InputError) as error:
        prepare(folder, *changes)
    assert words in str(error.value)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_a_class_without_boxes_is_rejected(writers, data, prepare, tmp_path):
    data["train"]["a"] = (40, 20, [(0, 0, 0, 10, 5)])
    data["train"]["b"] = (32, 64, [])
    with pytest.raises(InputError, match="class 'dog' has no box in the training pictures"):
        prepare(writers["coco"](data))
    assert list((tmp_path / "out").iterdir()) == []


def test_an_error_keeps_the_previous_output(writers, data, prepare):
    folder = writers["coco"](data)
    before = contents(prepare(folder))
    truncate(folder / "test" / "images" / "f.jpg")
    with pytest.raises(InputError):
        prepare(folder)
    assert contents(folder.parent / "out" / "prepared") == before
