"""The registry with a real store: one version per content, copies, and one-line errors."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.register_model import registry as registry_module
from components.register_model.registered_files import download_files, read_onnx
from components.register_model.registry import Registry
from components.registry.copies import copy_version
from components.runtime.store import tracking_uri
from kd.errors import InputError
from kd.files import digest
from tests.components.stores import new_store
from tests.components.stub_models import register, write_model


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)


@pytest.fixture
def run_id() -> str:
    client = MlflowClient(tracking_uri())
    return str(client.create_run(client.create_experiment("test")).info.run_id)


def test_the_same_content_is_registered_once(tmp_path: Path, run_id: str) -> None:
    registry = Registry("detector")
    first = registry.register(write_model(tmp_path / "a.onnx", [0.5]), run_id, {"kdflow.data_digest": "d"})
    assert registry.register(write_model(tmp_path / "b.onnx", [0.5]), run_id, {"kdflow.data_digest": "e"}) == first
    second = Registry("detector").register(write_model(tmp_path / "c.onnx", [0.6]), run_id, {})
    assert (first, second) == ("1", "2")
    assert [version.number for version in registry.versions()] == ["1", "2"]
    version = registry.version("1")
    assert version.run_id == run_id and version.aliases == [] and version.created > 1.7e12
    assert json.loads(version.tags.pop("kdflow.files"))["artifacts/a.onnx"] == digest(tmp_path / "a.onnx")
    assert version.tags == {"kdflow.content": digest(tmp_path / "a.onnx"), "kdflow.data_digest": "d", "kdflow.preprocessing": "1"}


def test_of_two_registrations_at_once_the_lower_number_is_kept(tmp_path: Path, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, package, others = write_model(tmp_path / "a.onnx", [0.5]), registry_module.package, []

    def slow(*arguments: Path) -> None:
        if not others:
            others.append("")
            others.append(Registry("detector").register(file, run_id, {}))
        package(*arguments)

    monkeypatch.setattr(registry_module, "package", slow)
    assert Registry("detector").register(file, run_id, {}) == others[1] == "1"
    assert [version.number for version in Registry("detector").versions()] == ["1"]


def test_the_content_of_one_model_is_not_found_under_another(tmp_path: Path, run_id: str) -> None:
    file = write_model(tmp_path / "a.onnx", [0.5])
    assert Registry("one").register(file, run_id, {}) == Registry("two").register(file, run_id, {}) == "1"


def test_the_registered_files_are_the_package(tmp_path: Path, run_id: str) -> None:
    file = write_model(tmp_path / "a.onnx", [0.5])
    registry = Registry("detector")
    (tmp_path / "there").mkdir()
    folder = download_files(registry, registry.register(file, run_id, {}), tmp_path / "there")
    assert digest(folder / "artifacts/a.onnx") == digest(file)
    assert (folder / "MLmodel").is_file()


def test_versions_are_found_by_number_and_alias_and_the_error_lists_the_existing_ones(tmp_path: Path) -> None:
    register("m", write_model(tmp_path / "a.onnx", [0.5]))
    registry = Registry("m")
    registry.client.set_registered_model_alias("m", "champion", "1")
    assert registry.version("1") == registry.version("champion") == registry.version("@champion")
    with pytest.raises(InputError, match="m version 7: does not exist \\(there are 1/@champion\\)"):
        registry.version("7")
    with pytest.raises(InputError, match="contains no versions of 'n' \\(there are m\\); name another model with --model"):
        Registry("n").version("1")
    assert Registry("n").versions() == [] and len(registry.client.search_registered_models()) == 1, "searching creates no model"


def test_a_copy_has_the_lineage_but_not_the_gate_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    not_copied = {"kdflow.gate": "promote", "kdflow.previous_champion": "0", "other": "tag"}
    tags = {"kdflow.teacher_digest": "t", "kdflow.git_commit": "c", **not_copied}
    number = register("m", write_model(tmp_path / "a.onnx", [0.5]), **tags)
    source = Registry("m")
    source.client.set_registered_model_alias("m", "champion", number)
    (tmp_path / "other").mkdir()
    new_store(tmp_path / "other")
    other_store = f"sqlite:///{tmp_path}/other/mlflow.db"
    for target in (Registry("production"), Registry("m", other_store)):
        assert copy_version(source, source.version(number), target) == copy_version(source, source.version(number), target) == "1"
        [copied] = target.versions()
        assert copied.aliases == []
        files = json.loads(copied.tags["kdflow.files"])
        assert files["artifacts/student.onnx"] == digest(tmp_path / "a.onnx")
        assert copied.tags == {
            "kdflow.files": copied.tags["kdflow.files"],
            "kdflow.preprocessing": "1",
            "kdflow.content": digest(tmp_path / "a.onnx"),
            "kdflow.teacher_digest": "t",
            "kdflow.git_commit": "c",
            "kdflow.map": "0.5",
            "kdflow.map50": "0.5",
            "kdflow.export_difference": "0",
            "kdflow.copied_from": "models:/m/1",
            "kdflow.copied_from_store": source.uri,
        }
        assert read_onnx(target, copied) == (tmp_path / "a.onnx").read_bytes()
    with pytest.raises(InputError, match="'m' is the source of version 1"):
        copy_version(source, source.version(number), Registry("m"))


@pytest.mark.parametrize("broken", ["sqlite:///{}/broken.db", "http://user:secret@127.0.0.1:1"])
def test_an_error_of_the_store_is_one_line_without_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    (tmp_path / "broken.db").write_text("this is no database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", broken.format(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(InputError, match="the registry of 'detector' fails") as caught:
        Registry("detector").versions()
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
