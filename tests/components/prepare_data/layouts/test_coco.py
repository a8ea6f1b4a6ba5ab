"""The COCO reader: the folder structures that it supports, and the errors that it reports."""

import json
import shutil
from pathlib import Path

import pytest

from components.prepare_data.layouts import coco
from kd.errors import InputError


def names(dataset):
    return {split: sorted(p.path.name for p in pictures) for split, pictures in dataset.splits.items()}


EVERYTHING = {"train": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], "val": ["e.jpg"], "test": ["f.jpg", "g.jpg"]}


def test_reads_one_folder_per_split(writers, data):
    dataset = coco.read(writers["coco"](data))
    assert dataset.classes == ["cat", "dog"]
    assert names(dataset) == EVERYTHING
    boxes = {p.path.stem: [(b.label, b.x, b.y, b.w, b.h) for b in p.boxes] for p in dataset.splits["train"]}
    assert boxes == {name: boxes for name, (_, _, boxes) in data["train"].items()}


def test_reads_the_structure_of_roboflow(writers, data, tmp_path):
    folder = writers["coco"](data)
    (folder / "val").rename(folder / "valid")
    for split in ("train", "valid", "test"):
        (folder / split / "annotations.json").rename(folder / split / "_annotations.coco.json")
        for file in (folder / split / "images").iterdir():
            file.rename(folder / split / file.name)
        (folder / split / "images").rmdir()
    dataset = coco.read(folder)
    assert names(dataset) == EVERYTHING
    assert all(p.path.is_file() for pictures in dataset.splits.values() for p in pictures)


@pytest.mark.parametrize("pictures_folder", ["{}", "images/{}"])
def test_reads_the_structure_of_coco(writers, data, pictures_folder):
    folder = writers["coco"](data)
    (folder / "annotations").mkdir()
    for split in data:
        (folder / split / "annotations.json").rename(folder / "annotations" / f"instances_{split}2017.json")
        pictures = folder / pictures_folder.format(f"{split}2017")
        pictures.parent.mkdir(exist_ok=True)
        (folder / split / "images").rename(pictures)
        (folder / split).rmdir()
    dataset = coco.read(folder)
    assert names(dataset) == EVERYTHING
    assert all(p.path.is_file() for pictures in dataset.splits.values() for p in pictures)


def test_reads_a_single_file(writers, data):
    folder = writers["coco"]({"train": data["train"]})
    for entry in (folder / "train").iterdir():
        entry.rename(folder / entry.name)
    (folder / "train").rmdir()
    dataset = coco.read(folder)
    assert names(dataset) == {"train": EVERYTHING["train"]}
    assert dataset.splits["train"][0].path.is_file()


def test_splits_may_have_different_category_ids(writers, data, edit_json):
    folder = writers["coco"](data)

    def renumber(content):
        content["categories"] = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
        for annotation in content["annotations"]:
            annotation["category_id"] = {3: 2, 8: 1}[annotation["category_id"]]

    edit_json(folder / "test" / "annotations.json", renumber)
    assert [b.label for p in coco.read(folder).splits["test"] for b in p.boxes] == [1, 0]


def test_a_category_that_only_groups_others_is_dropped(writers, data, edit_json):
    folder = writers["coco"](data)
    for split in data:
        file = folder / split / "annotations.json"
        edit_json(file, lambda content: content["categories"].insert(0, {"id": 0, "name": "pets", "supercategory": "none"}))
        edit_json(file, lambda content: [category.setdefault("supercategory", "pets") for category in content["categories"]])
    dataset = coco.read(folder)
    assert dataset.classes == ["cat", "dog"]
    assert [b.label for p in dataset.splits["train"] for b in p.boxes] == [0, 1, 1, 0]
    assert dataset.dropped == ["category 'pets' has no box and only groups others; dropped"]


def test_crowds_are_read(writers, data, edit_json):
    folder = writers["coco"](data)
    edit_json(folder / "train" / "annotations.json", lambda content: content["annotations"][0].update(iscrowd=1))
    assert [b.crowd for b in coco.read(folder).splits["train"][0].boxes] == [True, False]


def image(**values):
    return lambda content: content["images"][1].update(values)


def annotation(**values):
    return lambda content: content["annotations"][1].update(values)


def category(**values):
    return lambda content: content["categories"][1].update(values)


def without(part, key):
    return lambda content: content[part][1].pop(key)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (image(id=7), "images[1].id 7 occurs twice"),
        (annotation(id=0), "annotations[1].id 0 occurs twice"),
        (category(id=3), "categories[1].id 3 occurs twice"),
        (category(name="cat"), "categories contains the class name 'cat' twice"),
        (category(name=""), "contains '', which is not a class name"),
        (category(name=5), "categories[1].name is 5"),
        (annotation(category_id=99), "annotations[1].category_id is 99, but no entry has this id"),
        (annotation(image_id=99), "annotations[1].image_id is 99, but no entry has this id"),
        (annotation(bbox=[1, 2, 3]), "annotations[1].bbox is [1, 2, 3], not a list of 4 finite numbers"),
        (annotation(bbox=[1, 2, 3, "4"]), "annotations[1].bbox"),
        (annotation(bbox=[1, 2, 3, True]), "annotations[1].bbox"),
        (annotation(bbox=[1, 2, 3, float("nan")]), "annotations[1].bbox"),
        (annotation(bbox=[1, 2, 3, float("inf")]), "annotations[1].bbox"),
        (annotation(bbox=[1, 2, 3, 10**400]), "annotations[1].bbox"),
        (annotation(bbox={"x": 1}), "annotations[1].bbox"),
        (annotation(iscrowd="no"), "annotations[1].iscrowd is 'no'"),
        (annotation(id="1"), "annotations[1].id is '1', not an integer"),
        (image(width="40"), "images[1].width is '40', not an integer"),
        (image(width=0), "images[1].width is 0, not a number of pixels"),
        (image(height=True), "images[1].height is True"),
        (image(file_name=5), "images[1].file_name is 5, not a string"),
        (image(file_name="a.jpg"), "images[1].file_name 'a.jpg' occurs twice"),
        (image(file_name="../a.jpg"), "images[1].file_name '../a.jpg' is not a path inside the data folder"),
        (image(file_name="x/../../a.jpg"), "images[1].file_name"),
        (image(file_name="/etc/hostname"), "images[1].file_name '/etc/hostname' is not a path inside the data folder"),
        (image(file_name="a\0.jpg"), "images[1].file_name"),
        (image(file_name=""), "images[1].file_name"),
        (without("images", "width"), "images[1].width is missing"),
        (without("images", "file_name"), "images[1].file_name is missing"),
        (without("annotations", "bbox"), "annotations[1].bbox is missing"),
        (without("annotations", "category_id"), "annotations[1].category_id is missing"),
        (without("categories", "name"), "categories[1].name is missing"),
        (lambda content: content.pop("images"), "images is missing"),
        (lambda content: content.update(annotations={}), "annotations is {}, not a list"),
        (lambda content: content.update(categories=[]), "categories is empty"),
        (lambda content: content["images"].__setitem__(1, "a.jpg"), "images[1] is 'a.jpg', not an object"),
    ],
)
def test_invalid_fields_are_rejected(writers, data, edit_json, change, words):
    file = writers["coco"](data) / "train" / "annotations.json"
    edit_json(file, change)
    with pytest.raises(InputError) as error:
        coco.read(file.parent.parent)
    assert str(error.value).startswith(f"{file}: ")
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": [}', "null"])
def test_a_file_that_is_not_a_json_object_is_rejected(writers, data, text):
    file = writers["coco"](data) / "test" / "annotations.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"test/annotations\.json: .*(JSON|object)"):
        coco.read(file.parent.parent)


def test_a_category_that_is_not_in_the_first_split_is_rejected(writers, data, edit_json):
    folder = writers["coco"](data)
    edit_json(folder / "test" / "annotations.json", lambda content: content["categories"].append({"id": 99, "name": "cow"}))
    with pytest.raises(InputError, match=r"test/annotations\.json: categories\[2\]\.name 'cow'"):
        coco.read(folder)


def test_two_folders_for_one_split_are_rejected(writers, data):
    folder = writers["coco"](data)
    shutil.copytree(folder / "val", folder / "valid")
    with pytest.raises(InputError, match=r"valid/annotations\.json: is a second val split"):
        coco.read(folder)


def test_a_folder_without_annotations_does_not_match(tmp_path: Path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "other.json").write_text(json.dumps({}))
    assert not coco.matches(tmp_path)
