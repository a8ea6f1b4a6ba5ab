"""The YOLO reader: the pictures of a split, and what it reports or rejects."""

import os
import shutil

import pytest

from components.prepare_data.layouts import yolo
from kd.errors import InputError
from tests.components.prepare_data.layouts.exports import edit_yaml


@pytest.fixture
def folder(writers, data):
    return writers["yolo"](data)


def test_reads_pictures_from_text_files(folder):
    (folder / "train.txt").write_text("./images/train/d.jpg\nimages/train/a.jpg\n")
    edit_yaml(folder, train="train.txt")
    assert [p.path.stem for p in yolo.read(folder).splits["train"]] == ["a", "d"]


def test_the_size_of_a_damaged_picture_is_unknown(folder):
    (folder / "images" / "train" / "a.jpg").write_bytes(b"no picture")
    picture = yolo.read(folder).splits["train"][0]
    assert (picture.width, picture.height, picture.boxes) == (0, 0, [])


def test_a_train_folder_without_pictures_is_rejected(folder):
    for file in (folder / "images" / "train").iterdir():
        file.rename(file.with_suffix(".gif"))
    shutil.rmtree(folder / "labels" / "train")
    with pytest.raises(InputError, match=r"images/train: contains no pictures; add pictures, or correct `train` of data\.yaml"):
        yolo.read(folder)


def test_the_dataset_may_be_the_working_folder_and_below_a_folder_named_images(folder, tmp_path, monkeypatch):
    before = yolo.read(folder)
    (tmp_path / "images").mkdir()
    moved = folder.rename(tmp_path / "images" / "mine")
    assert [p.boxes for p in yolo.read(moved).splits["train"]] == [p.boxes for p in before.splits["train"]]
    monkeypatch.chdir(moved)
    dataset = yolo.read(type(moved)("."))
    assert [p.boxes for p in dataset.splits["train"]] == [p.boxes for p in before.splits["train"]]
    assert [os.fspath(p.path) for p in dataset.splits["val"]] == ["images/val/e.jpg"]


def test_a_missing_picture_in_a_text_file_is_rejected(folder):
    (folder / "train.txt").write_text("images/train/zebra.jpg\n")
    edit_yaml(folder, train="train.txt")
    with pytest.raises(InputError, match=r"zebra\.jpg: the picture is missing"):
        yolo.read(folder)


def test_a_picture_listed_twice_is_rejected(folder):
    (folder / "train.txt").write_text("images/train/a.jpg\nimages/train/b.jpg\n./images/train/a.jpg\n")
    edit_yaml(folder, train="train.txt")
    with pytest.raises(InputError, match=r"train\.txt: lists a\.jpg 2 times; list every picture once"):
        yolo.read(folder)


def test_pictures_in_no_split_are_reported(folder):
    edit_yaml(folder, test=None)
    (finding,) = yolo.read(folder).findings
    assert (finding.check, finding.examples) == ("unlisted pictures", ["f.jpg", "g.jpg"])
