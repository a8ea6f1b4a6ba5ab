"""The COCO reader: categories, boxes and sizes, and what it reports or rejects."""

import json
import shutil

import pytest

from components.prepare_data.layouts import coco
from kd.errors import InputError


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


@pytest.mark.parametrize("text", ['{"classes": [], "labels": {}}', "[]", "no JSON"])
def test_other_files_with_the_names_of_exports_do_not_match(tmp_path, text):
    (tmp_path / "labels.json").write_text(text)
    (tmp_path / "result.json").write_text(text)
    assert not coco.matches(tmp_path)


@pytest.mark.parametrize("missing", [[], None, [0, 0, 0, 0]])
def test_an_annotation_without_a_box_gets_the_box_around_its_polygons(writers, data, edit_json, missing):
    folder = writers["coco"](data)
    polygons = [[2, 3, 8, 3, 8, 9], [4, 1, 6, 2, 5, 12]]
    edit_json(folder / "train" / "annotations.json", lambda content: content["annotations"][0].update(bbox=missing, segmentation=polygons))
    dataset = coco.read(folder)
    box = dataset.splits["train"][0].boxes[0]
    assert (box.x, box.y, box.w, box.h) == (2, 1, 6, 11)
    assert dataset.findings == []


def test_a_polygon_may_be_one_list_of_numbers(writers, data, edit_json):
    folder = writers["coco"](data)
    edit_json(folder / "train" / "annotations.json", lambda c: c["annotations"][0].update(bbox=[], segmentation=[2, 3, 8, 3, 8, 9]))
    box = coco.read(folder).splits["train"][0].boxes[0]
    assert (box.x, box.y, box.w, box.h) == (2, 3, 6, 6)


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
    (finding,) = coco.read(folder).findings
    assert (finding.check, finding.count, finding.examples) == ("unlisted pictures", 1, ["new.jpg"])


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


def test_a_folder_without_annotations_does_not_match(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "other.json").write_text(json.dumps({}))
    assert not coco.matches(tmp_path)


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
    edit_json(folder / "train" / "annotations.json", lambda content: content["images"][1].update(file_name="0001.jpg"))
    with pytest.raises(InputError, match=r"images\[1\]\.file_name '0001\.jpg' may be left/0001\.jpg or right/0001\.jpg in .*train/images"):
        coco.read(folder)
