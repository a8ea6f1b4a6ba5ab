"""Initial weights from the registry: by alias or version, verified, and optional ones that do not exist yet."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from components.fetch_weights.step import fetch_weights
from components.params.models import Params
from components.register_model.integrity import ChangedFiles
from components.register_model.registry import MODEL, Registry
from components.runtime.tracking import tracking_uri
from components.shared.initial_weights import find_weights
from kd.errors import InputError
from kd.files import digest
from kd.model.store import save_model
from pipeline import initial_weights
from tests.components.prepared import contents
from tests.components.random_networks import random_network
from tests.components.stub_models import create_run, register, write_model

CHAMPION = "models:/m@champion"


@pytest.fixture(autouse=True)
def registry(execution_one: None, tmp_path: Path) -> Registry:
    """A registry with two versions of "m" with their models; the first is the champion."""
    for seed in (1, 2):
        save_model(tmp_path / f"{seed}.safetensors", *random_network(seed=seed))
        Registry("m").register(
            write_model(tmp_path / f"{seed}.onnx", [seed / 4]), create_run(), {}, {MODEL: tmp_path / f"{seed}.safetensors"}
        )
    set_champion("1")
    return Registry("m")


def set_champion(version: str) -> None:
    MlflowClient(tracking_uri()).set_registered_model_alias("m", "champion", version)


@pytest.fixture
def fetch(params_with: Callable[..., Params], run: Any, tmp_path: Path) -> Callable[[str], Path]:
    """Fetch initial weights for the student; returns their folder."""

    def fetched(init: str) -> Path:
        fetch_weights(params_with(f"student.init={init}"), run, tmp_path / "out")
        return tmp_path / "out/student"

    return fetched


def test_an_alias_is_resolved_each_time(fetch: Callable[[str], Path], tmp_path: Path) -> None:
    for version in ("1", "2"):
        set_champion(version)
        found = find_weights(CHAMPION, fetch(CHAMPION))
        assert found and found.file.read_bytes() == (tmp_path / f"{version}.safetensors").read_bytes()
        assert (found.init, found.sha256) == (f"models:/m/{version}", digest(tmp_path / f"{version}.safetensors"))
    found = find_weights("models:/m/1", fetch("models:/m/1"))
    assert found and found.sha256 == digest(tmp_path / "1.safetensors")


def test_optional_weights_that_do_not_exist_are_random_weights(fetch: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    for init in ("models:/other@champion?", "models:/m@challenger?", "models:/m/3?"):
        folder = fetch(init)
        assert f"{init}: there is none yet; the training starts from random weights" in capsys.readouterr().err
        assert find_weights(init, folder) is None and list(contents(folder)) == ["source.json"]
        with pytest.raises(InputError, match="does not exist in the registry"):
            fetch(init.removesuffix("?"))
    assert find_weights(f"{CHAMPION}?", fetch(f"{CHAMPION}?"))


def test_a_version_of_an_older_release_has_no_model(fetch: Callable[[str], Path], tmp_path: Path) -> None:
    register("old", write_model(tmp_path / "old.onnx", [0.1]))
    with pytest.raises(InputError, match=r"old version 1: has no model\.safetensors, because an older release registered it"):
        fetch("models:/old/1?")


def test_a_changed_model_is_not_used(fetch: Callable[[str], Path], tmp_path: Path) -> None:
    original = (tmp_path / "1.safetensors").read_bytes()
    [stored] = [file for file in tmp_path.glob("mlruns/**/model.safetensors") if file.read_bytes() == original]
    stored.write_bytes((tmp_path / "2.safetensors").read_bytes())
    with pytest.raises(ChangedFiles, match=r"file 'model\.safetensors' is not the registered one"):
        fetch(CHAMPION)


def test_kubeflow_trains_with_the_version_that_was_resolved_at_the_start(tmp_path: Path) -> None:
    resolved = initial_weights.resolve_weights(CHAMPION, "repository without weights", "main")
    set_champion("2")
    assert initial_weights.resolve_weights(CHAMPION, "", "") != resolved, "another key in the cache"
    with initial_weights.fetched_weights("distill_student", resolved) as arguments:
        found = find_weights(CHAMPION, arguments["weights"] / "student")
        assert found and found.sha256 == digest(tmp_path / "1.safetensors")
    with initial_weights.fetched_weights("train_teacher", initial_weights.resolve_weights("models:/t@champion?", "", "")) as arguments:
        assert find_weights("models:/t@champion?", arguments["weights"] / "teacher") is None
