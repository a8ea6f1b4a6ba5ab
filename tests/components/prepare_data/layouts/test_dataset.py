"""Names of splits and classes."""

import json
from pathlib import Path

import pytest
import yaml

from components.prepare_data.layouts.dataset import check_class_names, parse_split, shorten
from kd.errors import InputError


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("training", "train"), ("train2017", "train"), ("valid", "val"), ("validation", "val"), ("val2014", "val"),
     ("test", "test"), ("Train", "train"), ("Validation", "val"), ("default", "train"),
     ("trains", None), ("trainval", None), ("images", None), ("", None)],
)  # fmt: skip
def test_usual_names_of_splits_are_parsed(name, split):
    assert parse_split(name) == split


@pytest.mark.parametrize("names", [["cat", "cat"], [""], ["  "], [5], [None], [], ["\ud800"]])
def test_invalid_class_names_are_rejected(names):
    with pytest.raises(InputError, match=r"classes\.txt: names (contains|is empty)"):
        check_class_names(Path("classes.txt"), "names", names)


def test_values_in_messages_are_short():
    nested = ["laugh"] * 6
    for _ in range(40):
        nested = [nested] * 6  # as YAML aliases are, without copies
    assert len(shorten(nested)) == 60
    assert shorten([1, 2.5, "a"]) == "[1, 2.5, 'a']"


def rename_in_coco(folder, name, edit_json):
    for split in ("train", "val", "test"):
        edit_json(folder / split / "annotations.json", lambda content: content["categories"][0].update(name=name))


def rename_in_yolo(folder, name, edit_json):
    content = yaml.safe_load((folder / "data.yaml").read_text())
    content["names"] = [name, "dog"]
    (folder / "data.yaml").write_text(json.dumps(content))


@pytest.mark.parametrize(("layout", "rename"), [("coco", rename_in_coco), ("yolo", rename_in_yolo)])
@pytest.mark.parametrize("name", ["ca\x00t", "ca\nt", "ca\u202et", "ca\u2066t", "ca\x1b[31mt"])
def test_a_control_character_is_refused(writers, data, prepare, edit_json, tmp_path, layout, rename, name):
    folder = writers[layout](data)
    rename(folder, name, edit_json)
    with pytest.raises(InputError, match=rf"{layout}: the class name 'ca.*t' contains the control character U\+....; rename") as error:
        prepare(folder)
    assert str(error.value).isprintable() and not list((tmp_path / "out").iterdir())


def test_it_is_refused_in_voc_too(writers, data, prepare):
    folder = writers["voc"](data)
    for file in (folder / "Annotations").iterdir():
        file.write_text(file.read_text().replace("cat", "ca&#x202e;t"))
    with pytest.raises(InputError, match=r"the class name 'ca\\u202et' contains the control character U\+202E"):
        prepare(folder)


def test_other_scripts_are_names(writers, data, prepare, edit_json):
    folder = writers["coco"](data)
    rename_in_coco(folder, "\u05db\u05dc\u05d1 \U0001f468\u200d\U0001f469 \u72ac", edit_json)
    prepare(folder)
