"""The pictures that a model was trained on, and that it must not be scored on."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.params.models import Params
from components.shared.training import train_network
from components.shared.training_pictures import leaked_pictures, training_pictures
from kd.data.shards import PreparedPicture, write_shards
from kd.errors import InputError
from kd.model.build import build_model
from kd.model.store import load_training_pictures, save_model
from tests.components.shared.conftest import new_folder
from tests.kd.train.squares import spec_for
from tests.packed import packed, replace_picture, unpack

A, B, C = b"a", b"b", b"c"


def prefix(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    """Prepared data whose test split has two pictures that no other split has."""
    copy = Path(shutil.copytree(prepared, tmp_path / "data"))
    for name, content in (("1.png", A), ("2.png", B)):
        replace_picture(copy / "test", name, content)
    return copy


def test_the_pictures_of_all_splits_but_test_are_recorded_and_those_of_the_initial_weights_inherited(
    run: Any, params: Params, data: Path, tmp_path: Path, checkpoints: Path
) -> None:
    expected = {prefix(content) for split in ("train", "val") for content in packed(data / split).values()}
    assert training_pictures(data) == expected
    save_model(tmp_path / "init.safetensors", build_model(spec_for(), seed=1), spec_for(), pictures=["0123456789abcdef"])
    student = params.student.model_copy(update={"init": str(tmp_path / "init.safetensors")})
    train_network("baseline", params, student, run, data, new_folder(tmp_path, "out"))
    assert load_training_pictures(tmp_path / "out/model.safetensors") == expected | {"0123456789abcdef"}


def test_initial_weights_that_were_trained_on_test_pictures_are_refused(run: Any, params: Params, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "init.safetensors"
    save_model(file, build_model(spec_for()), spec_for(), pictures=[prefix(A), prefix(B)])
    student = params.student.model_copy(update={"init": str(file)})
    with pytest.raises(InputError, match=r"init\.safetensors: was trained on 2 of the test pictures \(1\.png, 2\.png\); keep these"):
        train_network("baseline", params, student, run, data, new_folder(tmp_path, "out"))
    assert not list((tmp_path / "out").iterdir())


def test_a_picture_in_two_splits_of_the_same_data_is_no_leak(data: Path) -> None:
    """prepare_data warns of it; public data sets have such pictures."""
    replace_picture(data / "train", "1.png", A)
    assert leaked_pictures(data, {prefix(A), prefix(B)}) == ["2.png"]


def test_a_picture_that_was_scaled_down_is_known_by_its_original(data: Path) -> None:
    """The digest of what is stored says nothing: a model may have been trained on the original, or at another size."""
    stored = PreparedPicture(1, ".jpg", b"small", prefix(b"original") + "0" * 48)
    write_shards(data / "train", [stored])
    assert prefix(b"original") in training_pictures(data) and prefix(b"small") not in training_pictures(data)


def test_data_of_an_older_release_are_refused(data: Path) -> None:
    """An empty set would mean that a model saw nothing."""
    unpack(data / "train")
    with pytest.raises(InputError, match=r"train/pictures\.json: is missing: an older version .*; run prepare_data again"):
        training_pictures(data)


def test_pictures_without_labels_are_recorded_for_a_student_only(run: Any, params: Params, data: Path, tmp_path: Path) -> None:
    """Neither teacher nor baseline sees them."""
    shutil.copytree(data / "val", data / "unlabelled")
    replace_picture(data / "unlabelled", "1.png", C)
    own = prefix(C)
    assert own in training_pictures(data) and own not in training_pictures(data, unlabelled=False)
    train_network("baseline", params, params.student, run, data, new_folder(tmp_path, "out"))
    assert own not in load_training_pictures(tmp_path / "out/model.safetensors")
