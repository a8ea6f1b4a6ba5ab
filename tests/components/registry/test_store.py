"""The registry against a real store: one version per content, aliases, and faults in one line."""

from pathlib import Path

import onnx
import pytest
from mlflow import MlflowClient

from components.export import select_model
from components.registry import Registry
from components.tracking import store_uri
from kd.detection.evaluate import Selection
from kd.errors import InputError
from kd.files import digest
from tests.components.stores import new_store


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)


@pytest.fixture
def run_id() -> str:
    client = MlflowClient(store_uri())
    return str(client.create_run(client.create_experiment("test")).info.run_id)


def onnx_file(path: Path, confidence: float = 0.25) -> Path:
    """A small model whose content depends on `confidence`."""
    onnx.save_model(select_model(10, 2, Selection(confidence), 10, 18), path)
    return path


def test_the_same_content_registers_once(tmp_path: Path, run_id: str) -> None:
    registry = Registry("detector")
    first = registry.register(onnx_file(tmp_path / "a.onnx"), 64, run_id, {"kdflow.data_digest": "d"})
    assert registry.register(onnx_file(tmp_path / "b.onnx"), 64, run_id, {"kdflow.data_digest": "e"}) == first
    second = Registry("detector").register(onnx_file(tmp_path / "c.onnx", 0.5), 64, run_id, {})
    assert (first, second) == ("1", "2")
    client = MlflowClient(store_uri())
    assert len(client.search_model_versions("name = 'detector'")) == 2
    made = client.get_model_version("detector", first)
    assert made.run_id == run_id
    assert made.tags == {"kdflow.content": digest(tmp_path / "a.onnx"), "kdflow.data_digest": "d"}


def test_the_content_of_one_model_is_not_found_under_another(tmp_path: Path, run_id: str) -> None:
    file = onnx_file(tmp_path / "a.onnx")
    assert Registry("one").register(file, 64, run_id, {}) == Registry("two").register(file, 64, run_id, {}) == "1"


def test_aliases_move(tmp_path: Path, run_id: str) -> None:
    registry = Registry("detector")
    versions = [registry.register(onnx_file(tmp_path / f"{c}.onnx", c), 64, run_id, {}) for c in (0.25, 0.5)]
    assert registry.content_of("champion") is None
    for version in versions:
        registry.point("champion", version)
    registry.point("challenger", versions[1])
    assert registry.content_of("champion") == digest(tmp_path / "0.5.onnx")
    assert registry.aliases(versions[0]) == []
    assert registry.aliases(versions[1]) == ["challenger", "champion"]


def test_a_version_made_by_others_has_a_content_that_is_nobodys(run_id: str) -> None:
    registry, client = Registry("detector"), MlflowClient(store_uri())
    version = client.create_model_version("detector", f"runs:/{run_id}/model", run_id).version
    registry.point("champion", str(version))
    assert registry.content_of("champion") == ""


def test_the_registered_files_are_the_package(tmp_path: Path, run_id: str) -> None:
    file = onnx_file(tmp_path / "a.onnx")
    registry = Registry("detector")
    registry.point("challenger", registry.register(file, 64, run_id, {}))
    folder = Path(MlflowClient(store_uri()).download_artifacts(run_id, "model", str(tmp_path)))
    assert digest(folder / "artifacts" / "a.onnx") == digest(file)
    assert (folder / "MLmodel").is_file()


@pytest.mark.parametrize("broken", ["sqlite:///{}/broken.db", "http://user:secret@127.0.0.1:1"])
def test_a_fault_is_one_error_without_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    (tmp_path / "broken.db").write_text("this is no database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", broken.format(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(InputError, match="'detector' cannot be registered") as caught:
        Registry("detector")
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
