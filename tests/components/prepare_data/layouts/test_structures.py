"""Every structure of a dataset is detected, and read without a finding."""

import pytest

from components.prepare_data.layouts import read_dataset
from tests.components.prepare_data.layouts.structures import STRUCTURES, contents


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_structure_is_read(writers, data, name):
    layout, change, splits, merged = STRUCTURES[name]
    folder = writers[layout]({split: data[split] for split in splits})
    classes, boxes = contents(read_dataset(folder, layout))
    change(folder)
    dataset = read_dataset(folder, "auto")
    expected = {"train": {name: own for pictures in boxes.values() for name, own in pictures.items()}} if merged else boxes
    assert contents(dataset) == (classes, expected)
    assert dataset.findings == [] and all(p.path.is_file() for pictures in dataset.splits.values() for p in pictures)


@pytest.mark.parametrize("layout", ["coco", "voc", "yolo"])
def test_the_boxes_are_those_that_were_written(writers, data, layout):
    classes, boxes = contents(read_dataset(writers[layout](data), layout))
    expected = {
        split: {name: [pytest.approx(box) for box in boxes] for name, (_, _, boxes) in pictures.items()} for split, pictures in data.items()
    }
    assert classes == ["cat", "dog"] and boxes == expected
