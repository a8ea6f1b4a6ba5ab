"""Names of splits and classes."""

from pathlib import Path

import pytest

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
