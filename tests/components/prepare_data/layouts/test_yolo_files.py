"""The label files of pictures in YOLO layout: in labels/ or beside the pictures, missing, or without a picture."""

import shutil

import pytest

from components.prepare_data.layouts import yolo
from kd.errors import InputError
from tests.components.prepare_data.layouts.structures import contents, rejection


@pytest.fixture
def folder(writers, data):
    return writers["yolo"](data)


def test_a_picture_without_a_label_file_has_no_boxes(folder):
    (folder / "labels" / "train" / "a.txt").unlink()
    assert yolo.read(folder).splits["train"][0].boxes == []


def test_labels_beside_pictures_are_read_and_reported(folder):
    before = yolo.read(folder)
    for name in "ad":
        (folder / "labels" / "train" / f"{name}.txt").rename(folder / "images" / "train" / f"{name}.txt")
    (folder / "images" / "train" / "notes.txt").write_text("these pictures are from May\n")
    dataset = yolo.read(folder)
    assert [p.boxes for p in dataset.splits["train"]] == [p.boxes for p in before.splits["train"]]
    (finding,) = dataset.findings
    assert (finding.check, finding.count, finding.examples) == ("labels beside pictures", 2, ["a.txt", "d.txt"])


def test_all_labels_may_be_beside_pictures(folder):
    before = yolo.read(folder)
    for split in ("train", "val", "test"):
        for file in (folder / "labels" / split).iterdir():
            file.rename(folder / "images" / split / file.name)
    shutil.rmtree(folder / "labels")
    dataset = yolo.read(folder)
    assert [p.boxes for p in dataset.splits["train"]] == [p.boxes for p in before.splits["train"]]
    assert [(finding.check, finding.count) for finding in dataset.findings] == [("labels beside pictures", 7)]


def test_equal_labels_at_both_places_are_accepted_and_different_ones_rejected(folder):
    before = yolo.read(folder)
    beside = folder / "images" / "train" / "a.txt"
    beside.write_text((folder / "labels" / "train" / "a.txt").read_text().replace("\n", "  \r\n"))
    assert yolo.read(folder) == before
    beside.write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match=r"images/train/a\.txt: and .*labels/train/a\.txt are different labels of one picture"):
        yolo.read(folder)


def test_labels_beside_pictures_without_a_picture_are_rejected(folder):
    (folder / "images" / "train" / "zebra.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match=r"images/train/zebra\.txt: has no picture"):
        yolo.read(folder)


def test_a_missing_label_folder_is_reported_with_the_places(folder):
    (folder / "labels").rename(folder / "label")
    message = rejection(yolo.read, folder)
    assert "images/train: has 4 pictures without any label file; looked for" in message
    assert all(place in message for place in ("labels/train/a.txt", "images/train/a.txt"))


def test_pictures_without_a_label_file_are_reported(folder):
    for name in ("train/a", "test/f"):
        (folder / "labels" / f"{name}.txt").unlink()
    (finding,) = yolo.read(folder).findings
    assert (finding.check, finding.count, finding.examples) == ("pictures without labels", 2, ["a.jpg", "f.jpg"])


def test_labels_without_a_picture_are_rejected(folder):
    (folder / "images" / "train" / "b.jpg").unlink()
    with pytest.raises(InputError, match=r"labels/train/b\.txt: has no picture"):
        yolo.read(folder)


def test_a_picture_in_an_unknown_format_is_rejected(folder):
    (folder / "images" / "train" / "b.jpg").rename(folder / "images" / "train" / "b.gif")
    with pytest.raises(InputError, match=r"labels/train/b\.txt: has no picture, but b\.gif; convert b\.gif to one of \.jpg, "):
        yolo.read(folder)


def test_the_folders_may_have_capital_letters(folder):
    before = yolo.read(folder)
    for name in ("images", "labels"):
        (folder / name).rename(folder / name.title())
    (folder / "data.yaml").write_text("names: [cat, dog]\n")
    dataset = yolo.read(folder)
    assert dataset.findings == before.findings == []
    assert contents(dataset) == contents(before)
    (folder / "Images" / "train" / "b.jpg").unlink()
    assert "Labels/train/b.txt: has no picture; add the picture in" in rejection(yolo.read, folder)


def test_label_files_may_be_called_like_the_picture(folder):
    before = yolo.read(folder)
    (folder / "labels" / "train" / "a.txt").rename(folder / "labels" / "train" / "a.jpg.txt")
    (folder / "labels" / "train" / "d.txt").rename(folder / "images" / "train" / "d.jpg.txt")
    dataset = yolo.read(folder)
    assert [p.boxes for p in dataset.splits["train"]] == [p.boxes for p in before.splits["train"]]
    assert [(finding.check, finding.examples) for finding in dataset.findings] == [("labels beside pictures", ["d.jpg.txt"])]


def test_pictures_that_share_a_label_file_are_reported(folder):
    shutil.copy(folder / "images" / "train" / "b.jpg", folder / "images" / "train" / "a.png")
    (finding,) = yolo.read(folder).findings
    assert (finding.check, finding.examples) == ("shared label files", ["a.jpg with a.txt", "a.png with a.txt"])


def test_a_split_that_has_the_pictures_of_another_is_rejected(folder):
    (folder / "data.yaml").write_text("names: [cat, dog]\ntrain: images/train\nval: images/train\n")
    message = rejection(yolo.read, folder)
    assert "data.yaml: val and train have the same pictures (4 of 4, such as a.jpg); give each split pictures of its own" in message
