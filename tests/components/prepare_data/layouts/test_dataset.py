"""Names of splits."""

import pytest

from components.prepare_data.layouts.dataset import parse_split


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("training", "train"), ("train2017", "train"), ("valid", "val"), ("validation", "val"), ("val2014", "val"),
     ("test", "test"), ("trains", None), ("trainval", None), ("images", None), ("", None)],
)  # fmt: skip
def test_usual_names_of_splits_are_parsed(name, split):
    assert parse_split(name) == split
