"""The step as a whole, on a tiny network and a real store."""

import json
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from components import agreement, tracking
from components.params import Params, load_params
from components.register_model import register_model
from components.step import execute
from components.tracking import store_uri
from kd.detection.decode import decode
from kd.errors import InputError
from kd.files import digest, write_json
from kd.model.store import save_model
from tests.components.lively import lively_network
from tests.components.stores import new_store

ROOT = Path(__file__).parents[2]
OUTPUT = Path("outputs/register_model")


@pytest.fixture
def settings() -> Params:
    return load_params(ROOT / "params.yaml", ["register_model.compare_pictures=3"])


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder in which everything but the registration has been done."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("KDFLOW_EXECUTION", "one")
    monkeypatch.setenv("KDFLOW_GIT_COMMIT", "abc")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)
    test = Path("outputs/prepare_data/test")
    (test / "images").mkdir(parents=True)
    noise = np.random.default_rng(0)
    images = [{"id": i, "file_name": f"{i}.png", "width": 50, "height": 70} for i in range(1, 5)]
    for image in images:
        Image.fromarray(noise.integers(0, 256, (70, 50, 3), dtype=np.uint8)).save(test / "images" / str(image["file_name"]))
    write_json(test / "annotations.json", {"images": images, "annotations": [], "categories": [{"id": 1, "name": "class 0"}]})
    write_json(Path("outputs/prepare_data/summary.json"), {"digest": "0123"})
    scores = {"map50": 0.5, "map": 0.25, "parameters": 7, "per_class": {}}
    write_json(Path("outputs/evaluate/metrics.json"), {name: scores for name in ("teacher", "baseline", "student")})
    write_model("distill_student", seed=0)
    write_model("train_teacher", seed=1)


def write_model(step: str, seed: int) -> None:
    save_model(Path("outputs") / step / "model.safetensors", *lively_network(seed=seed))


def decision() -> dict[str, Any]:
    return dict(json.loads((OUTPUT / "decision.json").read_text()))


def test_the_first_model_is_champion_and_the_next_its_challenger(settings: Params, capsys: pytest.CaptureFixture[str]) -> None:
    execute(register_model, settings)
    first, files = decision(), digest(OUTPUT)
    assert "kdflow-student version 1: @challenger, @champion" in capsys.readouterr().out

    execute(register_model, settings)
    assert digest(OUTPUT) == files, "the same content gives the same bytes"

    write_model("distill_student", seed=2)
    execute(register_model, settings)
    assert "kdflow-student version 2: @challenger (" in capsys.readouterr().out
    assert (first["decision"], decision()["decision"]) == ("promote", "challenger")
    assert first["content"] != decision()["content"] == digest(OUTPUT / "student.onnx")

    client = MlflowClient(store_uri())
    aliases = client.get_registered_model("kdflow-student").aliases
    assert {alias: int(version) for alias, version in aliases.items()} == {"champion": 1, "challenger": 2}
    assert len(client.search_model_versions("name = 'kdflow-student'")) == 2


def test_a_version_tells_where_it_comes_from_and_runs(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(register_model, settings)
    version = MlflowClient(store_uri()).get_model_version_by_alias("kdflow-student", "champion")
    facts = decision()
    assert version.tags == {
        "kdflow.content": digest(OUTPUT / "student.onnx"),
        "kdflow.student_digest": digest(Path("outputs/distill_student/model.safetensors")),
        "kdflow.teacher_digest": digest(Path("outputs/train_teacher/model.safetensors")),
        "kdflow.data_digest": "0123",
        "kdflow.params_digest": settings.digest(),
        "kdflow.execution": "one",
        "kdflow.git_commit": "abc",
        "kdflow.map": "0.25",
        "kdflow.map50": "0.5",
    }
    assert facts["scores"]["baseline"] == {"map": 0.25, "map50": 0.5}
    assert facts["export"]["pictures"] == 3 and facts["export"]["detections"] > 0
    assert facts["export"]["box_difference"] <= facts["export"]["tolerance"] == settings.register_model.tolerance
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri())
    model = mlflow.pyfunc.load_model("models:/kdflow-student@champion")
    [found] = model.predict({"picture": [Path("outputs/prepare_data/test/images/1.png").read_bytes()]})
    assert len(found["boxes"]) == len(found["scores"]) == len(found["classes"]) > 0


def test_an_export_that_disagrees_is_not_registered(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "decode", lambda *inputs: (decode(*inputs)[0] + 1, decode(*inputs)[1]))
    with pytest.raises(InputError, match=r"differs from PyTorch \(boxes by 0\.01.*nothing is registered"):
        execute(register_model, settings)
    assert not MlflowClient(store_uri()).search_registered_models()
    assert not OUTPUT.exists()


def test_without_a_registry_the_step_fails(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "START_PATIENCE", 0.5)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:1")
    with pytest.raises(InputError, match=r"http://\*\*\*@127.0.0.1:1: the model registry does not answer"):
        execute(register_model, settings)
    assert not OUTPUT.exists()


def test_a_missing_input_is_named(settings: Params) -> None:
    Path("outputs/evaluate/metrics.json").unlink()
    with pytest.raises(InputError, match=r"metrics\.json: is missing"):
        execute(register_model, settings)
