"""The pictures that a model was trained on, and that it must not be scored on."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from components.params.models import Params
from components.shared.training import train_network
from components.shared.training_pictures import leaked_pictures, training_pictures
from kd.errors import InputError
from kd.files import digest
from kd.model.build import build_model
from kd.model.store import load_training_pictures, save_model
from tests.components.shared.conftest import new_folder
from tests.kd.train.squares import spec_for


def prefix(file: Path) -> str:
    return digest(file)[:16]


def pictures(folder: Path) -> list[Path]:
    return sorted((folder / "images").iterdir())


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    """Prepared data whose test split has two pictures that no other split has."""
    copy = Path(shutil.copytree(prepared, tmp_path / "data"))
    (copy / "test/images").mkdir(parents=True, exist_ok=True)
    for name in ("a.jpg", "b.jpg"):
        (copy / "test/images" / name).write_bytes(name.encode())
    return copy


def test_the_pictures_of_all_splits_but_test_are_recorded_and_those_of_the_initial_weights_inherited(
    run: Any, params: Params, data: Path, tmp_path: Path, checkpoints: Path
) -> None:
    expected = {prefix(file) for split in ("train", "val") for file in pictures(data / split)}
    assert training_pictures(data) == expected
    save_model(tmp_path / "init.safetensors", build_model(spec_for(), seed=1), spec_for(), pictures=["0123456789abcdef"])
    student = params.student.model_copy(update={"init": str(tmp_path / "init.safetensors")})
    train_network("baseline", params, student, run, data, new_folder(tmp_path, "out"))
    assert load_training_pictures(tmp_path / "out/model.safetensors") == expected | {"0123456789abcdef"}


def test_initial_weights_that_were_trained_on_test_pictures_are_refused(run: Any, params: Params, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "init.safetensors"
    save_model(file, build_model(spec_for()), spec_for(), pictures=[prefix(data / "test/images" / name) for name in ("a.jpg", "b.jpg")])
    student = params.student.model_copy(update={"init": str(file)})
    with pytest.raises(InputError, match=r"init\.safetensors: was trained on 2 of the test pictures \(a\.jpg, b\.jpg\); keep these"):
        train_network("baseline", params, student, run, data, new_folder(tmp_path, "out"))
    assert not list((tmp_path / "out").iterdir())


def test_a_picture_in_two_splits_of_the_same_data_is_no_leak(data: Path) -> None:
    """prepare_data warns of it; public data sets have such pictures."""
    seen = {prefix(data / "test/images" / name) for name in ("a.jpg", "b.jpg")}
    shutil.copy(data / "test/images/a.jpg", data / "train/images")
    assert leaked_pictures(data, seen) == ["b.jpg"]


def test_pictures_without_labels_are_recorded_for_a_student_only(run: Any, params: Params, data: Path, tmp_path: Path) -> None:
    """Neither teacher nor baseline sees them."""
    (data / "unlabelled/images").mkdir(parents=True)
    (data / "unlabelled/images/c.jpg").write_bytes(b"c")
    own = prefix(data / "unlabelled/images/c.jpg")
    assert own in training_pictures(data) and own not in training_pictures(data, unlabelled=False)
    train_network("baseline", params, params.student, run, data, new_folder(tmp_path, "out"))
    assert own not in load_training_pictures(tmp_path / "out/model.safetensors")
