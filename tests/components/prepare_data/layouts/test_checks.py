"""What the readers leave out is said: folders and lists at other places, classes with nearly equal names, pointers of git LFS."""

import shutil
from pathlib import Path

import pytest

from components.prepare_data.layouts import read_dataset
from components.prepare_data.layouts.checks import find_similar_classes
from components.prepare_data.layouts.dataset import SPLITS
from tests.components.prepare_data.layouts import exports
from tests.components.prepare_data.layouts.structures import rejection

LFS_POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"


def read(folder):
    return read_dataset(folder, "auto")


def reported(folder):
    return {finding.check: finding.examples for finding in read(folder).findings}


@pytest.mark.parametrize(
    ("layout", "change"),
    [
        ("coco", lambda folder: None),
        ("coco", exports.coco_beside_pictures),
        ("voc", lambda folder: exports.voc_beside_pictures(folder, "{}")),
    ],
)
def test_a_folder_of_no_split_is_reported(writers, data, layout, change):
    folder = writers[layout](data)
    change(folder)
    assert reported(folder) == {}
    shutil.copytree(folder / "train", folder / "night")
    (folder / "notes").mkdir()
    assert reported(folder) == {"folders of no split": ["night"]}


@pytest.mark.parametrize("name", ["annotations/instances_holdout.json", "annotations/holdout.json", "holdout.json"])
def test_a_file_of_no_split_is_reported(writers, data, name):
    folder = writers["coco"](data)
    exports.coco_annotations_folder(folder, "images", SPLITS)
    shutil.copy(folder / "annotations/instances_val.json", folder / name)
    (folder / "annotations/captions_train.json").write_text('{"info": {}}')
    (folder / "notes.json").write_text("[]")
    (finding,) = read(folder).findings
    assert (finding.check, finding.examples) == ("files of no split", [Path(name).name])
    assert finding.problem == "1 file has annotations, but not the name of a split; left out"


def test_a_file_of_a_split_counts_in_both_places(writers, data):
    folder = writers["coco"](data)
    exports.coco_annotations_folder(folder, "images", SPLITS)
    (folder / "annotations/instances_val.json").rename(folder / "val.json")
    assert set(read(folder).splits) == {"train", "val", "test"} and reported(folder) == {}
    shutil.copy(folder / "val.json", folder / "annotations/instances_val.json")
    assert "is a second val split beside" in rejection(read, folder)


@pytest.mark.parametrize("place", [".", "ImageSets", "ImageSets/Layout"])
def test_lists_at_other_places_are_reported(writers, data, place):
    folder = writers["voc"](data)
    (folder / place).mkdir(exist_ok=True)
    for file in (folder / "ImageSets" / "Main").iterdir():
        file.rename(folder / place / file.name)
    assert reported(folder) == {"unused lists": ["test.txt", "train.txt", "val.txt"]}


def test_lists_beside_a_list_of_classes_are_reported(writers, data):
    folder = writers["yolo"](data)
    exports.yolo_classes_file(folder, "classes.txt")
    assert reported(folder) == {}
    (folder / "train.txt").write_text("images/train/a.jpg\n")
    assert reported(folder) == {"unused lists": ["train.txt"]}


def test_classes_with_nearly_equal_names_are_reported():
    (finding,) = find_similar_classes(["hard hat", "Hard_Hat", "vest", "hardhat ", "vests"])
    assert (finding.count, finding.examples) == (3, ["'hard hat'", "'Hard_Hat'", "'hardhat '"])
    assert find_similar_classes(["hat", "vest"]) == []


@pytest.mark.parametrize(("layout", "file"), [("coco", "train/annotations.json"), ("voc", "Annotations/a.xml"), ("yolo", "data.yaml")])
def test_a_pointer_of_git_lfs_is_named(writers, data, layout, file):
    folder = writers[layout](data)
    (folder / file).write_text(LFS_POINTER)
    assert f"{file}: is a pointer of git LFS, not the file itself; run `git lfs pull`" in rejection(read, folder)


def test_a_dataset_that_dvc_has_not_pulled_is_named(tmp_path):
    (tmp_path / "mine.dvc").write_text("outs: []")
    assert f"mine' is not a folder; run `dvc pull {tmp_path / 'mine.dvc'}`" in rejection(read, tmp_path / "mine")
