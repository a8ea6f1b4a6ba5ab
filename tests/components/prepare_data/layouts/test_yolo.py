"""The YOLO reader: its ways of naming folders, and what it refuses."""

import pytest
import yaml

from components.prepare_data.layouts import yolo
from kd.errors import InputError


def names(source):
    return {split: [p.path.stem for p in pictures] for split, pictures in source.splits.items()}


EVERYTHING = {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


@pytest.fixture
def folder(write, data):
    return write["yolo"](data)


@pytest.fixture
def rewrite(folder):
    """Change entries of data.yaml; None removes one."""

    def rewritten(**changes):
        content = {**yaml.safe_load((folder / "data.yaml").read_text()), **changes}
        (folder / "data.yaml").write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))

    return rewritten


@pytest.mark.parametrize("classes", [["cat", "dog"], {0: "cat", 1: "dog"}])
def test_names_are_a_list_or_numbered(folder, rewrite, classes):
    rewrite(names=classes)
    source = yolo.read(folder)
    assert source.classes == ["cat", "dog"]
    assert names(source) == EVERYTHING


def test_shares_become_pixels(folder, data):
    boxes = {p.path.stem: [(b.label, b.x, b.y, b.w, b.h) for b in p.boxes] for p in yolo.read(folder).splits["train"]}
    assert boxes == {name: [pytest.approx(box) for box in boxes] for name, (_, _, boxes) in data["train"].items()}


def test_folders_are_found_where_the_yaml_names_none(folder, rewrite):
    rewrite(train=None, val=None, test=None)
    assert names(yolo.read(folder)) == EVERYTHING


def test_a_path_inside_the_folder_is_followed(folder, rewrite):
    (folder / "inner").mkdir()
    for name in ("images", "labels"):
        (folder / name).rename(folder / "inner" / name)
    rewrite(path="inner")
    assert names(yolo.read(folder)) == EVERYTHING


def test_roboflow_names_folders_beside_the_yaml(folder, rewrite):
    for kind in ("images", "labels"):
        for split, place in (("train", "train"), ("val", "valid"), ("test", "test")):
            (folder / place).mkdir(exist_ok=True)
            (folder / kind / split).rename(folder / place / kind)
    rewrite(train="../train/images", val="../valid/images", test="../test/images")
    source = yolo.read(folder)
    assert names(source) == EVERYTHING
    assert sum(len(p.boxes) for pictures in source.splits.values() for p in pictures) == 7


def test_text_files_list_pictures(folder, rewrite):
    (folder / "train.txt").write_text("./images/train/d.jpg\nimages/train/a.jpg\n")
    rewrite(train="train.txt")
    assert names(yolo.read(folder))["train"] == ["a", "d"]


def test_a_picture_without_a_label_file_has_no_boxes(folder):
    (folder / "labels" / "train" / "a.txt").unlink()
    assert yolo.read(folder).splits["train"][0].boxes == []


def test_unsplit(folder, rewrite):
    for kind in ("images", "labels"):
        for split in EVERYTHING:
            for file in (folder / kind / split).iterdir():
                file.rename(folder / kind / file.name)
            (folder / kind / split).rmdir()
    rewrite(train=None, val=None, test=None)
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
def test_refuses_lines(folder, line, words):
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
        ({"names": ["cat", "cat"]}, "names has the class name 'cat' twice"),
        ({"names": ["cat", 5]}, "names has the class name 5"),
        ({"names": []}, "names is empty"),
        ({"names": {0: "cat", 2: "dog"}}, "names has the keys [0, 2]"),
        ({"train": "images/nowhere"}, "train names the folder"),
        ({"train": {"a": 1}}, "train is {'a': 1}, not a path"),
        ({"train": "/somewhere/else"}, "train '/somewhere/else' leaves the data folder"),
        ({"train": "../../images"}, "leaves the data folder"),
    ],
)
def test_refuses_the_yaml(folder, rewrite, changes, words):
    rewrite(**changes)
    with pytest.raises(InputError) as error:
        yolo.read(folder)
    assert str(error.value).startswith(f"{folder / 'data.yaml'}: ")
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "", "- cat"])
def test_refuses_what_is_no_yaml_mapping(folder, text):
    (folder / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data\.yaml: (is not YAML|has no 'names')"):
        yolo.read(folder)


def test_refuses_labels_of_a_missing_picture(folder):
    (folder / "images" / "train" / "b.jpg").unlink()
    with pytest.raises(InputError, match=r"labels/train/b\.txt: labels a picture that is missing"):
        yolo.read(folder)


def test_refuses_a_listed_picture_that_is_missing(folder, rewrite):
    (folder / "train.txt").write_text("images/train/zebra.jpg\n")
    rewrite(train="train.txt")
    with pytest.raises(InputError, match=r"zebra\.jpg: the picture is missing"):
        yolo.read(folder)
