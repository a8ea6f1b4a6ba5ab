"""The YOLO reader: the folder structures that it supports, and the errors that it reports."""

import pytest
import yaml

from components.prepare_data.layouts import yolo
from kd.errors import InputError


def names(dataset):
    return {split: [p.path.stem for p in pictures] for split, pictures in dataset.splits.items()}


EVERYTHING = {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


@pytest.fixture
def folder(writers, data):
    return writers["yolo"](data)


@pytest.fixture
def edit_yaml(folder):
    """Change entries of data.yaml; None removes an entry."""

    def edit(**changes):
        content = {**yaml.safe_load((folder / "data.yaml").read_text()), **changes}
        (folder / "data.yaml").write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))

    return edit


@pytest.mark.parametrize("classes", [["cat", "dog"], {0: "cat", 1: "dog"}])
def test_names_are_a_list_or_a_mapping(folder, edit_yaml, classes):
    edit_yaml(names=classes)
    dataset = yolo.read(folder)
    assert dataset.classes == ["cat", "dog"]
    assert names(dataset) == EVERYTHING


def test_fractions_are_converted_to_pixels(folder, data):
    boxes = {p.path.stem: [(b.label, b.x, b.y, b.w, b.h) for b in p.boxes] for p in yolo.read(folder).splits["train"]}
    assert boxes == {name: [pytest.approx(box) for box in boxes] for name, (_, _, boxes) in data["train"].items()}


def test_folders_are_found_without_entries_in_the_yaml(folder, edit_yaml):
    edit_yaml(train=None, val=None, test=None)
    assert names(yolo.read(folder)) == EVERYTHING


def test_a_path_inside_the_folder_is_used(folder, edit_yaml):
    (folder / "inner").mkdir()
    for name in ("images", "labels"):
        (folder / name).rename(folder / "inner" / name)
    edit_yaml(path="inner")
    assert names(yolo.read(folder)) == EVERYTHING


def test_reads_the_structure_of_roboflow(folder, edit_yaml):
    for kind in ("images", "labels"):
        for split, target in (("train", "train"), ("val", "valid"), ("test", "test")):
            (folder / target).mkdir(exist_ok=True)
            (folder / kind / split).rename(folder / target / kind)
    edit_yaml(train="../train/images", val="../valid/images", test="../test/images")
    dataset = yolo.read(folder)
    assert names(dataset) == EVERYTHING
    assert sum(len(p.boxes) for pictures in dataset.splits.values() for p in pictures) == 7


def test_reads_pictures_from_text_files(folder, edit_yaml):
    (folder / "train.txt").write_text("./images/train/d.jpg\nimages/train/a.jpg\n")
    edit_yaml(train="train.txt")
    assert names(yolo.read(folder))["train"] == ["a", "d"]


def test_a_picture_without_a_label_file_has_no_boxes(folder):
    (folder / "labels" / "train" / "a.txt").unlink()
    assert yolo.read(folder).splits["train"][0].boxes == []


def test_reads_pictures_without_split_folders(folder, edit_yaml):
    for kind in ("images", "labels"):
        for split in EVERYTHING:
            for file in (folder / kind / split).iterdir():
                file.rename(folder / kind / file.name)
            (folder / kind / split).rmdir()
    edit_yaml(train=None, val=None, test=None)
    assert names(yolo.read(folder)) == {"train": list("abcdefg")}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.2", "is '0 0.5 0.5 0.2', not five numbers"),
        ("0 0.5 0.5 0.2 0.2 0.9", "not five numbers"),
        ("cat 0.5 0.5 0.2 0.2", "not five numbers"),
        ("2 0.5 0.5 0.2 0.2", "has the class 2"),
        ("-1 0.5 0.5 0.2 0.2", "has the class -1"),
        ("0.5 0.5 0.5 0.2 0.2", "has the class 0.5"),
        ("nan 0.5 0.5 0.2 0.2", "has the class nan"),
        ("0 120 85 40 40", "a number outside 0 to 1"),
        ("0 nan 0.5 0.2 0.2", "a number outside 0 to 1"),
        ("0 0.5 0.5 -0.2 0.2", "a number outside 0 to 1"),
    ],
)
def test_invalid_lines_are_rejected(folder, line, words):
    file = folder / "labels" / "train" / "a.txt"
    file.write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(InputError) as error:
        yolo.read(folder)
    assert str(error.value).startswith(f"{file}: line 2 ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": None}, "names is None"),
        ({"names": "cat"}, "names is 'cat', not a list"),
        ({"names": ["cat", "cat"]}, "names contains the class name 'cat' twice"),
        ({"names": ["cat", 5]}, "names contains 5, which is not a class name"),
        ({"names": []}, "names is empty"),
        ({"names": {0: "cat", 2: "dog"}}, "names has the keys [0, 2]"),
        ({"train": "images/nowhere"}, "images/nowhere of train is missing"),
        ({"train": {"a": 1}}, "train is {'a': 1}, not a path"),
        ({"train": "/somewhere/else"}, "train '/somewhere/else' is not a path inside the data folder"),
        ({"train": "../../images"}, "is not a path inside the data folder"),
    ],
)
def test_an_invalid_yaml_is_rejected(folder, edit_yaml, changes, words):
    edit_yaml(**changes)
    with pytest.raises(InputError) as error:
        yolo.read(folder)
    assert str(error.value).startswith(f"{folder / 'data.yaml'}: ")
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "", "- cat"])
def test_a_file_that_is_not_a_yaml_mapping_is_rejected(folder, text):
    (folder / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data\.yaml: (is not YAML|has no 'names')"):
        yolo.read(folder)


def test_labels_without_a_picture_are_rejected(folder):
    (folder / "images" / "train" / "b.jpg").unlink()
    with pytest.raises(InputError, match=r"labels/train/b\.txt: has no picture"):
        yolo.read(folder)


def test_a_missing_picture_in_a_text_file_is_rejected(folder, edit_yaml):
    (folder / "train.txt").write_text("images/train/zebra.jpg\n")
    edit_yaml(train="train.txt")
    with pytest.raises(InputError, match=r"zebra\.jpg: the picture is missing"):
        yolo.read(folder)
