"""The VOC reader: its coordinates and split lists, and the errors that it reports."""

import pytest

from components.prepare_data.layouts import voc
from kd.errors import InputError


def names(dataset):
    return {split: [p.path.stem for p in pictures] for split, pictures in dataset.splits.items()}


def test_coordinates_start_at_one_and_include_the_last_pixel(writers, data):
    folder = writers["voc"](data)
    (folder / "Annotations" / "e.xml").write_text(
        "<annotation><filename>e.jpg</filename><size><width>40</width><height>40</height></size><object><name>dog</name>"
        "<bndbox><xmin>1</xmin><ymin>3</ymin><xmax>40</xmax><ymax>3</ymax></bndbox></object></annotation>"
    )
    box = voc.read(folder).splits["val"][0].boxes[0]
    assert (box.label, box.x, box.y, box.w, box.h) == (1, 0, 2, 40, 1)


def test_splits_are_read_from_lists(writers, data):
    dataset = voc.read(writers["voc"](data))
    assert dataset.classes == ["cat", "dog"]
    assert names(dataset) == {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


def test_trainval_replaces_a_missing_train_list(writers, data):
    folder = writers["voc"](data)
    lists = folder / "ImageSets" / "Main"
    (lists / "train.txt").unlink()
    (lists / "trainval.txt").write_text("a\nb\nc\nd\ne\n")
    assert names(voc.read(folder)) == {"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["f", "g"]}


def test_all_pictures_are_train_without_lists(writers, data):
    folder = writers["voc"](data)
    for file in (folder / "ImageSets" / "Main").iterdir():
        file.unlink()
    assert names(voc.read(folder)) == {"train": list("abcdefg")}


def test_difficult_objects_are_dropped_and_counted(writers, data):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    file.write_text(file.read_text().replace("<difficult>0", "<difficult>1", 1))
    dataset = voc.read(folder)
    assert [box.name for box in dataset.splits["train"][0].boxes] == ["object 2"]
    assert dataset.dropped == ["1 objects are marked as difficult; dropped"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<filename>a.jpg</filename>", "", "filename is missing"),
        ("a.jpg", "../a.jpg", "filename '../a.jpg' is not a path inside the data folder"),
        ("a.jpg", "/etc/hostname", "is not a path inside the data folder"),
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
def test_invalid_files_are_rejected(writers, data, old, new, words):
    folder = writers["voc"](data)
    file = folder / "Annotations" / "a.xml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        voc.read(folder)
    assert str(error.value).startswith(f"{file}: ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("lines", "words"),
    [("a\nb\na\n", "lists 'a' 2 times"), ("../../a\n", "is not a path inside the data folder"), ("missing\n", "missing.xml: is missing")],
)
def test_invalid_lists_are_rejected(writers, data, lines, words):
    folder = writers["voc"](data)
    (folder / "ImageSets" / "Main" / "train.txt").write_text(lines)
    with pytest.raises(InputError) as error:
        voc.read(folder)
    assert words in str(error.value)


def test_a_list_that_is_not_text_is_rejected(writers, data):
    folder = writers["voc"](data)
    (folder / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"train\.txt: is not UTF-8"):
        voc.read(folder)
