"""The folder of initial weights: found for the parameter that it was written for, and for no other."""

import json
from pathlib import Path

import pytest

from components.shared.initial_weights import InitialWeights, copy_weights, find_weights
from kd.errors import InputError
from kd.files import digest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "x.safetensors").write_bytes(b"model")
    return tmp_path / "x.safetensors"


def test_weights_are_found_in_the_folder_and_without_one(file: Path, tmp_path: Path) -> None:
    copy_weights(tmp_path / "copy", str(file), file)
    sha256 = digest(file)
    assert find_weights(str(file), None) == InitialWeights(str(file), file, sha256)
    found = find_weights(str(file), tmp_path / "copy")
    assert found == InitialWeights(str(file), tmp_path / "copy/weights.safetensors", sha256)
    assert found.file.read_bytes() == b"model"


def test_without_init_nothing_is_read(tmp_path: Path) -> None:
    assert find_weights("", tmp_path / "nowhere") is None and find_weights("", None) is None


def test_a_folder_of_other_weights_is_refused(file: Path, tmp_path: Path) -> None:
    copy_weights(tmp_path / "none", "", None)
    for folder in ("none", "nowhere"):
        with pytest.raises(InputError, match=r"does not have the weights .*; run `python -m components.fetch_weights`"):
            find_weights(str(file), tmp_path / folder)


INCOMPLETE, WRONG_TYPE = {"init": "x", "file": "weights"}, {"init": "x", "file": 3, "source": "x", "sha256": "0"}


@pytest.mark.parametrize("content", [[], "x", None, INCOMPLETE, WRONG_TYPE])
def test_a_source_file_that_was_changed_by_hand_is_refused(content: object, tmp_path: Path) -> None:
    (tmp_path / "source.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"does not have the weights 'x'; run `python -m components.fetch_weights`"):
        find_weights("x", tmp_path)
