"""The COCO reader: its ways of lying on disk, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from components.prepare_data.layouts import coco
from kd.errors import InputError


def names(source):
    return {split: sorted(p.path.name for p in pictures) for split, pictures in source.splits.items()}


EVERYTHING = {"train": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], "val": ["e.jpg"], "test": ["f.jpg", "g.jpg"]}


def test_folders_per_split(write, data):
    source = coco.read(write["coco"](data))
    assert source.classes == ["cat", "dog"]
    assert names(source) == EVERYTHING
    boxes = {p.path.stem: [(b.label, b.x, b.y, b.w, b.h) for b in p.boxes] for p in source.splits["train"]}
    assert boxes == {name: boxes for name, (_, _, boxes) in data["train"].items()}


def test_roboflow_puts_pictures_beside_the_json(write, data, tmp_path):
    folder = write["coco"](data)
    (folder / "val").rename(folder / "valid")
    for split in ("train", "valid", "test"):
        (folder / split / "annotations.json").rename(folder / split / "_annotations.coco.json")
        for file in (folder / split / "images").iterdir():
            file.rename(folder / split / file.name)
        (folder / split / "images").rmdir()
    source = coco.read(folder)
    assert names(source) == EVERYTHING
    assert all(p.path.is_file() for pictures in source.splits.values() for p in pictures)


@pytest.mark.parametrize("place", ["{}", "images/{}"])
def test_as_coco_publishes_it(write, data, place):
    folder = write["coco"](data)
    (folder / "annotations").mkdir()
    for split in data:
        (folder / split / "annotations.json").rename(folder / "annotations" / f"instances_{split}2017.json")
        pictures = folder / place.format(f"{split}2017")
        pictures.parent.mkdir(exist_ok=True)
        (folder / split / "images").rename(pictures)
        (folder / split).rmdir()
    source = coco.read(folder)
    assert names(source) == EVERYTHING
    assert all(p.path.is_file() for pictures in source.splits.values() for p in pictures)


def test_unsplit(write, data):
    folder = write["coco"]({"train": data["train"]})
    for entry in (folder / "train").iterdir():
        entry.rename(folder / entry.name)
    (folder / "train").rmdir()
    source = coco.read(folder)
    assert names(source) == {"train": EVERYTHING["train"]}
    assert source.splits["train"][0].path.is_file()


def test_splits_may_number_their_categories_differently(write, data, edit):
    folder = write["coco"](data)

    def renumber(content):
        content["categories"] = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
        for annotation in content["annotations"]:
            annotation["category_id"] = {3: 2, 8: 1}[annotation["category_id"]]

    edit(folder / "test" / "annotations.json", renumber)
    assert [b.label for p in coco.read(folder).splits["test"] for b in p.boxes] == [1, 0]


def test_a_category_that_only_groups_others_is_left_out(write, data, edit):
    folder = write["coco"](data)
    for split in data:
        file = folder / split / "annotations.json"
        edit(file, lambda content: content["categories"].insert(0, {"id": 0, "name": "pets", "supercategory": "none"}))
        edit(file, lambda content: [category.setdefault("supercategory", "pets") for category in content["categories"]])
    source = coco.read(folder)
    assert source.classes == ["cat", "dog"]
    assert [b.label for p in source.splits["train"] for b in p.boxes] == [0, 1, 1, 0]
    assert source.dropped == ["category 'pets' has no box and only groups others; left out"]


def test_crowds_are_kept_as_crowds(write, data, edit):
    folder = write["coco"](data)
    edit(folder / "train" / "annotations.json", lambda content: content["annotations"][0].update(iscrowd=1))
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
        (image(id=7), "images[1].id 7 is there twice"),
        (annotation(id=0), "annotations[1].id 0 is there twice"),
        (category(id=3), "categories[1].id 3 is there twice"),
        (category(name="cat"), "categories has the class name 'cat' twice"),
        (category(name=""), "class name '', which"),
        (category(name=5), "categories[1].name is 5"),
        (annotation(category_id=99), "annotations[1].category_id 99"),
        (annotation(image_id=99), "annotations[1].image_id 99"),
        (annotation(bbox=[1, 2, 3]), "annotations[1].bbox is [1, 2, 3], not a list of 4 finite numbers"),
        (annotation(bbox=[1, 2, 3, "4"]), "annotations[1].bbox"),
        (annotation(bbox=[1, 2, 3, True]), "annotations[1].bbox"),
        (annotation(bbox=[1, 2, 3, float("nan")]), "annotations[1].bbox"),
        (annotation(bbox=[1, 2, 3, float("inf")]), "annotations[1].bbox"),
        (annotation(bbox=[1, 2, 3, 10**400]), "annotations[1].bbox"),
        (annotation(bbox={"x": 1}), "annotations[1].bbox"),
        (annotation(iscrowd="no"), "annotations[1].iscrowd is 'no'"),
        (annotation(id="1"), "annotations[1].id is '1', not a whole number"),
        (image(width="40"), "images[1].width is '40', not a whole number"),
        (image(width=0), "images[1].width is 0, not a number of pixels"),
        (image(height=True), "images[1].height is True"),
        (image(file_name=5), "images[1].file_name is 5, not a text"),
        (image(file_name="a.jpg"), "images[1].file_name 'a.jpg' is there twice"),
        (image(file_name="../a.jpg"), "images[1].file_name '../a.jpg' leaves the data folder"),
        (image(file_name="x/../../a.jpg"), "images[1].file_name"),
        (image(file_name="/etc/hostname"), "images[1].file_name '/etc/hostname' leaves the data folder"),
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
def test_refuses(write, data, edit, change, words):
    file = write["coco"](data) / "train" / "annotations.json"
    edit(file, change)
    with pytest.raises(InputError) as error:
        coco.read(file.parent.parent)
    assert str(error.value).startswith(f"{file}: ")
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": [}', "null"])
def test_refuses_what_is_no_json_object(write, data, text):
    file = write["coco"](data) / "test" / "annotations.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"test/annotations\.json: .*(JSON|object)"):
        coco.read(file.parent.parent)


def test_refuses_a_category_that_the_first_split_lacks(write, data, edit):
    folder = write["coco"](data)
    edit(folder / "test" / "annotations.json", lambda content: content["categories"].append({"id": 99, "name": "cow"}))
    with pytest.raises(InputError, match=r"test/annotations\.json: categories\[2\]\.name 'cow'"):
        coco.read(folder)


def test_refuses_two_folders_for_one_split(write, data):
    folder = write["coco"](data)
    shutil.copytree(folder / "val", folder / "valid")
    with pytest.raises(InputError, match=r"valid/annotations\.json: is a second val split"):
        coco.read(folder)


def test_a_folder_without_annotations_is_not_recognized(tmp_path: Path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "other.json").write_text(json.dumps({}))
    assert not coco.recognizes(tmp_path)
