"""Which layout a folder holds."""

import pytest

from components.prepare_data.layouts import read_source
from components.prepare_data.layouts.source import split_of
from kd.errors import InputError


@pytest.mark.parametrize("layout", ["coco", "voc", "yolo"])
def test_auto_finds_the_layout(write, data, layout):
    folder = write[layout](data)
    assert read_source(folder, "auto") == read_source(folder, layout)


def test_refuses_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match=r"data\.path: '.*nowhere' is no folder"):
        read_source(tmp_path / "nowhere", "auto")


def test_refuses_a_folder_of_no_layout(tmp_path):
    with pytest.raises(InputError, match="holds no COCO, VOC or YOLO labels"):
        read_source(tmp_path, "auto")


def test_refuses_another_layout_than_the_one_named(write, data):
    with pytest.raises(InputError, match="holds no voc labels"):
        read_source(write["coco"](data), "voc")


def test_two_layouts_need_a_choice(write, data):
    folder = write["coco"](data)
    write["yolo"](data)
    (folder.parent / "yolo" / "data.yaml").rename(folder / "data.yaml")
    with pytest.raises(InputError, match=r"holds labels of coco and yolo; choose one with data\.layout"):
        read_source(folder, "auto")
    assert set(read_source(folder, "coco").splits) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("training", "train"), ("train2017", "train"), ("valid", "val"), ("validation", "val"), ("val2014", "val"),
     ("test", "test"), ("trains", None), ("trainval", None), ("images", None), ("", None)],
)  # fmt: skip
def test_usual_names_of_splits(name, split):
    assert split_of(name) == split
