"""Invalid descriptions of a YOLO dataset: data.yaml, obj.data and lists of classes."""

import shutil

import pytest

from components.prepare_data.layouts import yolo
from kd.errors import InputError
from tests.components.prepare_data.layouts.exports import edit_yaml, yolo_darknet
from tests.components.prepare_data.layouts.structures import rejection


@pytest.fixture
def folder(writers, data):
    return writers["yolo"](data)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": None}, "names is None"),
        ({"names": "cat"}, "names is 'cat', not a list"),
        ({"names": ["cat", "cat"]}, "names contains the class name 'cat' twice"),
        ({"names": ["cat", 5]}, "names contains 5, which is not a class name"),
        ({"names": []}, "names is empty"),
        ({"names": {0: "cat", 2: "dog"}}, "names has the keys [0, 2]"),
        ({"train": None}, "has test and val, but no train; add the path of the training pictures"),
        ({"train": "images/nowhere"}, "images/nowhere of train is missing"),
        ({"train": {"a": 1}}, "train is {'a': 1}, not a path"),
        ({"train": "/somewhere/else"}, "train '/somewhere/else' is not a path inside the data folder"),
        ({"train": "../../images"}, "is not a path inside the data folder"),
    ],
)
def test_an_invalid_yaml_is_rejected(folder, changes, words):
    edit_yaml(folder, **changes)
    message = rejection(yolo.read, folder)
    assert message.startswith(f"{folder / 'data.yaml'}: ") and words in message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("names: {0: cat, '0': dog}", "names has the keys [0, '0']"),
        ("names: {0: cat, 1: dog, 1: cow}", "line 1 repeats the key '1'"),
        ("names: [cat, dog]\ntrain: images/train\ntrain: images/val", "line 3 repeats the key 'train'"),
        ("names: [cat, dog]\nnc: 3", "nc is 3, but the number of class names is 2"),
        ("names: [cat, dog]\nnc: x", "nc is 'x', but the number of class names is 2"),
        ("names: [cat, dog]\ntrain: images/train\nval: {}", "val is {}, not a path"),
        ("names: [cat, dog]\ntrain: images/train\nval: 0", "val is 0, not a path"),
        ("names: [cat, dog]\nkpt_shape: 17", "kpt_shape is 17, not [points, 2 or 3]"),
        ("names: [cat, dog]\nkpt_shape: [17, 4]", "kpt_shape is [17, 4], not"),
        ("names: [cat, dog]\nkpt_shape: [0, 3]", "kpt_shape is [0, 3], not"),
        ("names: [cat, dog]\npath: 5", "path is 5, not a folder"),
        ("names: [cat, dog]\npath: []", "path is [], not a folder"),
        ("names: [cat, dog]\ntrain: images/train/a.jpg", "train is the picture "),
        ("names: " + "[" * 5000 + "]" * 5000, "has more than 50 levels or 50,000 values"),
        ("names: [cat, dog]\nnc: " + "9" * 5000, "has a value of 5,000 characters without quotes"),
    ],
)
def test_what_other_readers_would_guess_is_rejected(folder, line, words):
    (folder / "data.yaml").write_text(f"{line}\n")
    message = rejection(yolo.read, folder)
    assert message.startswith(f"{folder / 'data.yaml'}: ") and words in message


@pytest.mark.parametrize("text", ["a: [", "", "- cat"])
def test_a_file_that_is_not_a_yaml_mapping_is_rejected(folder, text):
    (folder / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data\.yaml: (is not YAML|has no 'names'|is empty)"):
        yolo.read(folder)


def test_two_yaml_files_are_rejected(folder):
    shutil.copy(folder / "data.yaml", folder / "dataset.yaml")
    with pytest.raises(InputError, match=r"data\.yaml: is beside dataset\.yaml; keep one of them"):
        yolo.read(folder)


def test_a_list_of_classes_without_labels_does_not_match(tmp_path, write_picture):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    write_picture(tmp_path / "images" / "a.jpg", 8, 8)
    assert not yolo.matches(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("obj.data", "train", "obj.data: line 1 is 'train', not `key = value`"),
        ("obj.data", "train = nowhere.txt\n", "obj.data: the list .*nowhere.txt of train is missing"),
        ("obj.data", "train = train.txt\nnames = other.names\n", "obj.data: names the file 'other.names' .* is missing"),
        ("obj.names", "cat\ncat\n", "obj.names: the list contains the class name 'cat' twice"),
        ("obj.names", "", "obj.names: the list is empty"),
        ("train.txt", "obj_train_data/zebra.jpg\n", r"zebra\.jpg: the picture is missing"),
        ("train.txt", "x/zebra.jpg\nx/horse.jpg\n", r"train\.txt: lists 2 pictures, such as 'x/zebra\.jpg', but none of them is in"),
    ],
)
def test_an_invalid_export_in_darknet_format_is_rejected(folder, name, content, words):
    yolo_darknet(folder)
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=words):
        yolo.read(folder)


def test_the_number_of_classes_in_obj_data_is_checked(folder):
    yolo_darknet(folder)
    (folder / "obj.data").write_text((folder / "obj.data").read_text().replace("classes = 2", "classes = 3"))
    with pytest.raises(InputError, match=r"obj\.data: classes is '3', but the number of class names is 2"):
        yolo.read(folder)


@pytest.mark.parametrize("test", ["../test/images", "/content/mine/test/images", "test/images"])
def test_a_missing_split_is_reported(folder, test):
    shutil.rmtree(folder / "images" / "test")
    shutil.rmtree(folder / "labels" / "test")
    edit_yaml(folder, test=test)
    dataset = yolo.read(folder)
    assert set(dataset.splits) == {"train", "val"}
    assert [(finding.check, finding.examples) for finding in dataset.findings] == [("missing splits", [f"test: {test}"])]
