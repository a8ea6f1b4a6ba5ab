"""The VOC reader: pixels counted from one, its lists, and what it refuses."""

import pytest

from components.prepare_data.layouts import voc
from kd.errors import InputError


def names(source):
    return {split: [p.path.stem for p in pictures] for split, pictures in source.splits.items()}


def test_pixels_are_counted_from_one_and_the_last_is_included(write, data):
    folder = write["voc"](data)
    (folder / "Annotations" / "e.xml").write_text(
        "<annotation><filename>e.jpg</filename><size><width>40</width><height>40</height></size><object><name>dog</name>"
        "<bndbox><xmin>1</xmin><ymin>3</ymin><xmax>40</xmax><ymax>3</ymax></bndbox></object></annotation>"
    )
    box = voc.read(folder).splits["val"][0].boxes[0]
    assert (box.label, box.x, box.y, box.w, box.h) == (1, 0, 2, 40, 1)


def test_lists_name_the_splits(write, data):
    source = voc.read(write["voc"](data))
    assert source.classes == ["cat", "dog"]
    assert names(source) == {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


def test_trainval_stands_in_for_a_missing_train(write, data):
    folder = write["voc"](data)
    lists = folder / "ImageSets" / "Main"
    (lists / "train.txt").unlink()
    (lists / "trainval.txt").write_text("a\nb\nc\nd\ne\n")
    assert names(voc.read(folder)) == {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


def test_without_lists_everything_is_unsplit(write, data):
    folder = write["voc"](data)
    for file in (folder / "ImageSets" / "Main").iterdir():
        file.unlink()
    assert names(voc.read(folder)) == {"train": list("abcdefg")}


def test_difficult_objects_are_left_out_and_counted(write, data):
    folder = write["voc"](data)
    file = folder / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("<difficult>0", "<difficult>1", 1))
    source = voc.read(folder)
    assert [box.name for box in source.splits["train"][0].boxes] == ["object 2"]
    assert source.dropped == ["1 objects are marked difficult; left out"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<filename>a.jpg</filename>", "", "filename is missing"),
        ("a.jpg", "../a.jpg", "filename '../a.jpg' leaves the data folder"),
        ("a.jpg", "/etc/hostname", "leaves the data folder"),
        ("<width>40</width>", "", "size/width is missing"),
        ("<width>40<", "<width>wide<", "size/width is 'wide', not a finite number"),
        ("<width>40<", "<width>nan<", "size/width is 'nan'"),
        ("<name>cat<", "<name><", "object 1: name is missing or empty"),
        ("<xmin>1</xmin>", "", "object 1: bndbox/xmin is missing"),
        ("<xmin>1<", "<xmin>inf<", "object 1: bndbox/xmin is 'inf'"),
        ("</annotation>", "", "is not XML: no element found: line 5"),
        ("<annotation>", '<!DOCTYPE a [\n<!ENTITY b "bb">]><annotation>', "line 2 declares an XML entity"),
        ("<annotation>", '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><annotation>', "line 1 declares an XML entity"),
    ],
)
def test_refuses(write, data, old, new, words):
    folder = write["voc"](data)
    file = folder / "Annotations" / "a.xml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        voc.read(folder)
    assert str(error.value).startswith(f"{file}: ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("listed", "words"),
    [("a\nb\na\n", "lists 'a' 2 times"), ("../../a\n", "leaves the data folder"), ("missing\n", "missing.xml: is missing")],
)
def test_refuses_lists(write, data, listed, words):
    folder = write["voc"](data)
    (folder / "ImageSets" / "Main" / "train.txt").write_text(listed)
    with pytest.raises(InputError) as error:
        voc.read(folder)
    assert words in str(error.value)


def test_refuses_a_list_that_is_no_text(write, data):
    folder = write["voc"](data)
    (folder / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"train\.txt: is not UTF-8"):
        voc.read(folder)
