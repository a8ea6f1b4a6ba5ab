"""The COCO reader: the folder structures that it supports, and the errors that it reports."""

import json
import re
import shutil
import unicodedata
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


def move_to_one_folder(folder, name):
    """Turn the train split of `folder` into a dataset with one file."""
    for entry in (folder / "train").iterdir():
        entry.rename(folder / entry.name)
    (folder / "train").rmdir()
    (folder / "annotations.json").rename(folder / name)
    return folder


def test_reads_an_export_of_label_studio(writers, data, edit_json):
    folder = move_to_one_folder(writers["coco"]({"train": data["train"]}), "result.json")
    edit_json(
        folder / "result.json", lambda content: [entry.update(file_name=f"images/{entry['file_name']}") for entry in content["images"]]
    )
    dataset = coco.read(folder)
    assert names(dataset) == {"train": EVERYTHING["train"]}
    assert dataset.findings == []


def test_reads_an_export_of_fiftyone(writers, data):
    folder = move_to_one_folder(writers["coco"]({"train": data["train"]}), "labels.json")
    (folder / "images").rename(folder / "data")
    assert names(coco.read(folder)) == {"train": EVERYTHING["train"]}


@pytest.mark.parametrize("text", ['{"classes": [], "labels": {}}', "[]", "no JSON"])
def test_other_files_with_the_names_of_exports_do_not_match(tmp_path, text):
    (tmp_path / "labels.json").write_text(text)
    (tmp_path / "result.json").write_text(text)
    assert not coco.matches(tmp_path)


@pytest.mark.parametrize("pictures_folder", ["images", "images/default"])
def test_reads_an_export_of_cvat_without_splits(writers, data, pictures_folder):
    folder = move_to_one_folder(writers["coco"]({"train": data["train"]}), "annotations.json")
    (folder / "images").rename(folder / "pictures")
    (folder / pictures_folder).parent.mkdir(exist_ok=True)
    (folder / "pictures").rename(folder / pictures_folder)
    (folder / "annotations").mkdir()
    (folder / "annotations.json").rename(folder / "annotations" / "instances_default.json")
    assert names(coco.read(folder)) == {"train": EVERYTHING["train"]}


def test_reads_an_export_of_cvat_with_splits(writers, data):
    folder = writers["coco"](data)
    (folder / "annotations").mkdir()
    for split, subset in (("train", "Train"), ("val", "Validation"), ("test", "Test")):
        (folder / split / "annotations.json").rename(folder / "annotations" / f"instances_{subset}.json")
        (folder / "images").mkdir(exist_ok=True)
        (folder / split / "images").rename(folder / "images" / subset)
        (folder / split).rmdir()
    assert names(coco.read(folder)) == EVERYTHING


def test_a_byte_order_mark_is_ignored(writers, data):
    folder = writers["coco"](data)
    file = folder / "train" / "annotations.json"
    before = coco.read(folder)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert coco.read(folder) == before


@pytest.mark.parametrize("missing", [[], None, [0, 0, 0, 0]])
def test_an_annotation_without_a_box_gets_the_box_around_its_polygons(writers, data, edit_json, missing):
    folder = writers["coco"](data)
    polygons = [[2, 3, 8, 3, 8, 9], [4, 1, 6, 2, 5, 12]]
    edit_json(folder / "train" / "annotations.json", lambda content: content["annotations"][0].update(bbox=missing, segmentation=polygons))
    dataset = coco.read(folder)
    box = dataset.splits["train"][0].boxes[0]
    assert (box.x, box.y, box.w, box.h) == (2, 1, 6, 11)
    assert dataset.findings == []


@pytest.mark.parametrize("segmentation", [[], None, {"counts": [1, 2], "size": [4, 4]}, [[1, 2]]])
def test_an_annotation_without_a_box_and_polygons_is_skipped_and_counted(writers, data, edit_json, segmentation):
    folder = writers["coco"](data)

    def change(content):
        del content["annotations"][1]["bbox"]
        content["annotations"][1]["segmentation"] = segmentation

    edit_json(folder / "train" / "annotations.json", change)
    dataset = coco.read(folder)
    assert [box.name for box in dataset.splits["train"][0].boxes] == ["annotation 0"]
    (finding,) = dataset.findings
    assert (finding.check, finding.count, finding.examples) == ("annotations without a box", 1, ["a.jpg, annotation 1"])


@pytest.mark.parametrize("names_of_classes", [["helmet"], ["helmet", "vest"]])
def test_a_group_with_the_name_of_a_class_is_dropped(writers, data, edit_json, names_of_classes):
    folder = writers["coco"](data)

    def change(content):
        group = {"id": 0, "name": "helmet", "supercategory": "none"}
        classes = [{"id": label * 5 + 3, "name": name, "supercategory": "helmet"} for label, name in enumerate(names_of_classes)]
        content["categories"] = [group, *classes]
        for annotation in content["annotations"]:
            annotation["category_id"] = min(annotation["category_id"], classes[-1]["id"])

    for split in data:
        edit_json(folder / split / "annotations.json", change)
    dataset = coco.read(folder)
    assert dataset.classes == names_of_classes
    assert dataset.dropped == ["category 'helmet' has no box and only groups others; dropped"]


def test_a_group_with_boxes_is_a_class(writers, data, edit_json):
    folder = writers["coco"](data)
    for split in data:
        edit_json(folder / split / "annotations.json", lambda content: content["categories"][1].update(supercategory="cat"))
    assert coco.read(folder).classes == ["cat", "dog"]


@pytest.mark.parametrize("size", [{"width": 0, "height": 0}, {"width": None}, {"height": 0}])
def test_an_unknown_size_is_read_from_the_picture(writers, data, edit_json, size):
    folder = writers["coco"](data)
    before = coco.read(folder)
    edit_json(folder / "train" / "annotations.json", lambda content: content["images"][1].update(size))
    assert coco.read(folder) == before
    edit_json(folder / "train" / "annotations.json", lambda content: [content["images"][1].pop(key) for key in size])
    assert coco.read(folder) == before


def test_the_size_of_a_damaged_picture_is_unknown(writers, data, edit_json):
    folder = writers["coco"](data)
    edit_json(folder / "train" / "annotations.json", lambda content: content["images"][1].pop("width"))
    (folder / "train" / "images" / "b.jpg").write_bytes(b"no picture")
    picture = coco.read(folder).splits["train"][1]
    assert (picture.width, picture.height, len(picture.boxes)) == (0, 0, 1)


NFC, NFD = (unicodedata.normalize(form, "caf\u00e9.jpg") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("file_name", "found"),
    [
        ("b.jpg", "b.jpg"),
        ("./b.jpg", "b.jpg"),
        ("b", "b.jpg"),
        ("b.png", "b.jpg"),
        ("b.png", "b.jfif"),
        ("B.JPG", "b.jpg"),
        ("b_jpg.rf.0123", "b_jpg.rf.0123.jpg"),
        (NFC, NFD),
        (NFD, NFC),
        ("C:\\data\\images\\b.jpg", "b.jpg"),
        ("images\\b.jpg", "b.jpg"),
        ("/home/someone/images/b.jpg", "b.jpg"),
        ("b.jpg", "camera/b.jpg"),
    ],
)
def test_a_picture_is_found_in_another_spelling(writers, data, edit_json, file_name, found):
    folder = writers["coco"](data)
    pictures = folder / "train" / "images"
    (pictures / found).parent.mkdir(exist_ok=True)
    (pictures / "b.jpg").rename(pictures / found)
    edit_json(folder / "train" / "annotations.json", lambda content: content["images"][1].update(file_name=file_name))
    dataset = coco.read(folder)
    assert dataset.splits["train"][1].path == pictures / found
    assert dataset.findings == []


def test_a_picture_in_another_folder_than_its_name_gives_is_reported(writers, data, edit_json):
    folder = writers["coco"](data)
    edit_json(folder / "train" / "annotations.json", lambda content: content["images"][1].update(file_name="camera/b.jpg"))
    dataset = coco.read(folder)
    assert names(dataset) == EVERYTHING
    (finding,) = dataset.findings
    assert (finding.check, finding.count) == ("pictures under another name", 1)
    assert finding.examples == ["camera/b.jpg -> train/images/b.jpg"]


def test_a_name_that_fits_two_pictures_is_rejected(writers, data, edit_json):
    folder = writers["coco"](data)
    pictures = folder / "train" / "images"
    shutil.copy(pictures / "b.jpg", pictures / "b.png")
    edit_json(folder / "train" / "annotations.json", lambda content: content["images"][1].update(file_name="b"))
    with pytest.raises(InputError, match=r"annotations\.json: images\[1\]\.file_name 'b' may be b\.jpg or b\.png"):
        coco.read(folder)


def test_missing_pictures_are_counted(writers, data):
    folder = writers["coco"](data)
    for name in ("b.jpg", "d.jpg"):
        (folder / "train" / "images" / name).unlink()
    with pytest.raises(InputError, match=r"images/b\.jpg: the picture is missing.* \(and 1 more of 4 in .*annotations\.json\)"):
        coco.read(folder)
    shutil.rmtree(folder / "train" / "images")
    with pytest.raises(InputError, match=r"annotations\.json: lists 4 pictures, such as 'a\.jpg', but none of them is in .*/train;"):
        coco.read(folder)


def test_pictures_that_the_annotations_do_not_list_are_reported(writers, data, write_picture):
    folder = writers["coco"](data)
    write_picture(folder / "val" / "images" / "new.jpg", 8, 8)
    for hidden in ("._e.jpg", ".ipynb_checkpoints/e-checkpoint.jpg", "__MACOSX/e.jpg", "Thumbs.db", "desktop.ini"):
        (folder / "val" / "images" / hidden).parent.mkdir(exist_ok=True)
        (folder / "val" / "images" / hidden).write_bytes(b"no picture")
    dataset = coco.read(folder)
    assert names(dataset) == EVERYTHING
    (finding,) = dataset.findings
    assert (finding.check, finding.count, finding.examples) == ("unlisted pictures", 1, ["new.jpg"])


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
    with pytest.raises(InputError) as error:
        coco.read(file.parent.parent)
    assert str(error.value).startswith((f"{file}: ", f"{file.parent}/images/nowhere.jpg: "))
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": [}', "null"])
def test_a_file_that_is_not_a_json_object_is_rejected(writers, data, text):
    file = writers["coco"](data) / "test" / "annotations.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"test/annotations\.json: .*(JSON|object|is empty)"):
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


def test_a_group_nested_deeply_is_ignored(writers, data, edit_json):
    folder = writers["coco"](data)
    before = coco.read(folder)
    group = json.loads("[" * 900 + "]" * 900)
    edit_json(folder / "train" / "annotations.json", lambda content: content["categories"][0].update(supercategory=group))
    assert coco.read(folder) == before


def test_an_ambiguous_name_is_reported_with_folders(writers, data, edit_json):
    folder = writers["coco"](data)
    pictures = folder / "train" / "images"
    for camera in ("left", "right"):
        (pictures / camera).mkdir()
        shutil.copy(pictures / "a.jpg", pictures / camera / "0001.jpg")
    edit_json(folder / "train" / "annotations.json", image(file_name="0001.jpg"))
    with pytest.raises(InputError, match=r"images\[1\]\.file_name '0001\.jpg' may be left/0001\.jpg or right/0001\.jpg in .*train/images"):
        coco.read(folder)


def test_reads_a_file_per_split_beside_the_pictures(writers, data):
    folder = writers["coco"](data)
    for split in data:
        (folder / split / "annotations.json").rename(folder / f"{split}.json")
        for file in (folder / split / "images").iterdir():
            (folder / "images").mkdir(exist_ok=True)
            file.rename(folder / "images" / file.name)
        shutil.rmtree(folder / split)
    (folder / "package.json").write_text('{"name": "labels"}')
    assert names(coco.read(folder)) == EVERYTHING
