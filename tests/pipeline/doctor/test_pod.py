"""What only a pod sees."""

import json

import pytest
from mlflow import MlflowClient

from components.prepare_data.data_source import DataSource
from kd.errors import InputError
from pipeline.doctor import pod
from pipeline.doctor.check import Check
from pipeline.doctor.pod import check_data, check_mlflow, check_volume, check_weights
from tests.servers import mlflow_server


def test_mlflow_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    check = check_mlflow(["kdflow-student"])
    assert check.state == "fault" and "MLFLOW_TRACKING_PASSWORD" in check.remedy


def test_the_volume(monkeypatch, tmp_path):
    monkeypatch.setenv("KDFLOW_CHECKPOINTS", str(tmp_path))
    assert check_volume() == Check("checkpoints writable", "ok", str(tmp_path)) and not list(tmp_path.iterdir())
    monkeypatch.setenv("KDFLOW_CHECKPOINTS", "/proc")
    assert check_volume().state == "fault"


def test_the_data_repository(monkeypatch):
    monkeypatch.delenv("KDFLOW_EXECUTION", raising=False)
    assert [check.state for check in check_data("data/mine", "", "", "")] == ["unknown"]
    (repository,) = check_data("data/mine", "", "/no/repository", "main")
    assert repository.state == "unknown" and "not from this machine: data_repo: /no/repository" in repository.detail
    monkeypatch.setenv("KDFLOW_EXECUTION", "in a pod")
    (repository,) = check_data("data/mine", "", "/no/repository", "main")
    assert repository.state == "fault"


@pytest.mark.parametrize("exists", [True, False])
def test_the_pictures_without_labels_are_looked_for_in_the_commit_of_the_data(monkeypatch, exists):
    def resolve(path, repo, rev):
        if path == "data/more" and not exists:
            raise InputError("data.unlabelled", "'data/more' is not in the repository", "add it")
        assert (path, rev) in {("data/mine", "main"), ("data/more", "c0ffee")}
        return DataSource(path, f"version-of-{path}", repo, "c0ffee")

    monkeypatch.setattr(pod, "resolve_source", resolve)
    monkeypatch.setattr(pod, "check_remote", lambda source: None)
    *_, found = check_data("data/mine", "data/more", "https://git.example.com/data", "main")
    assert found[:2] == ("pictures without labels", "ok" if exists else "fault")
    assert ("version-of-data/more" in found.detail) == exists
    assert len(check_data("data/mine", "", "https://git.example.com/data", "main")) == 2


def test_initial_weights(monkeypatch):
    monkeypatch.delenv("KDFLOW_EXECUTION", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert check_weights(["", ""], "", "") == []
    (file,) = check_weights(["darknet53.conv.74"] * 2, "", "")
    assert file[:3] == ("initial weights darknet53.conv.74", "unknown", "no repository is given")
    (version,) = check_weights(["models:/kdflow-student@champion"], "", "")
    assert version.state == "unknown" and "MLFLOW_TRACKING_URI" in version.detail
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert check_weights(["models:/kdflow-student@champion"], "", "")[0].state == "fault"


@pytest.mark.parametrize(
    "resolved, check",
    [
        ("models:/kdflow-student/7", ("ok", "version 7")),
        ("models:/kdflow-student/", ("ok", "do not exist yet: the training starts from random weights")),
        (None, ("fault", "darknet53.conv.74: is not tracked by DVC as a whole")),
    ],
)
def test_the_version_of_initial_weights(monkeypatch, resolved, check):
    def resolve(init, repo, rev):
        assert (init, repo, rev) == ("darknet53.conv.74", "https://git.example.com/data", "main")
        if resolved is None:
            raise InputError(init, "is not tracked by DVC as a whole", "run `dvc add`")
        return json.dumps({"init": init, "version": resolved.rpartition("/")[2]})

    monkeypatch.setattr(pod, "resolve_weights", resolve)
    (found,) = check_weights(["darknet53.conv.74", ""], "https://git.example.com/data", "main")
    assert found[1:3] == check


@pytest.mark.slow
def test_registered_models_are_looked_up(monkeypatch, tmp_path):
    with mlflow_server(tmp_path / "mlflow") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        MlflowClient(url).create_registered_model("kdflow-student")
        checked = check_mlflow(["kdflow-student", "kdflow-teacher"])
    assert checked.state == "ok" and "model kdflow-student, no model kdflow-teacher yet" in checked.detail
