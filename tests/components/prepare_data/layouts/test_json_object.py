"""Invalid JSON and invalid fields of COCO's annotations are rejected with their place in the file."""

import re

import pytest

from components.prepare_data.layouts import coco
from kd.errors import InputError
from tests.components.prepare_data.layouts.structures import rejection


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
        (image(width=-1), "images[1].width is -1, not a number of pixels"),
        (image(width=40.5), "images[1].width is 40.5, not an integer"),
        (image(height=True), "images[1].height is True"),
        (image(file_name=5), "images[1].file_name is 5, not a string"),
        (image(file_name="a.jpg"), "lists a.jpg 2 times; list every picture once"),
        (image(file_name="../a.jpg"), "images[1].file_name '../a.jpg' is not a path inside the data folder"),
        (image(file_name="x/../../a.jpg"), "images[1].file_name"),
        (image(file_name="/etc/hostname"), "images[1].file_name '/etc/hostname' is not a path inside the data folder"),
        (image(file_name="a\0.jpg"), "images[1].file_name"),
        (image(file_name=""), "images[1].file_name"),
        (image(file_name="nowhere.jpg"), "the picture is missing"),
        (without("images", "file_name"), "images[1].file_name is missing"),
        (
            annotation(bbox=[], segmentation=[[1, 2, "3", 4, 5, 6]]),
            "annotations[1].segmentation is [[1, 2, '3', 4, 5, 6]], not a list of lists",
        ),
        (annotation(bbox=[], segmentation="polygon"), "annotations[1].segmentation is 'polygon', not a list of lists of finite numbers"),
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
    message = rejection(coco.read, file.parent.parent)
    assert message.startswith((f"{file}: ", f"{file.parent}/images/nowhere.jpg: ")) and words in message


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": [}', "null"])
def test_a_file_that_is_not_a_json_object_is_rejected(writers, data, text):
    file = writers["coco"](data) / "test" / "annotations.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"test/annotations\.json: .*(JSON|object|is empty)"):
        coco.read(file.parent.parent)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"images": [], "images": []}', "repeats the key 'images' in the object {'images': []}; keep one of them"),
        ('{"categories": [{"id": 1, "name": "cat", "name": "dog"}]}', "repeats the key 'name' in the object {"),
        ('{"images": ' + "[" * 9000 + "]" * 9000 + "}", "is nested too deeply for JSON labels"),
        ('{"images": ' + "9" * 5000 + "}", "contains an integer of thousands of digits"),
        ("", "is empty; export the labels again"),
        (" \n", "is empty; export the labels again"),
    ],
)
def test_the_cause_of_damage_is_reported(writers, data, text, words):
    file = writers["coco"](data) / "test" / "annotations.json"
    file.write_text(text)
    with pytest.raises(InputError, match=rf"test/annotations\.json: {re.escape(words)}"):
        coco.read(file.parent.parent)
