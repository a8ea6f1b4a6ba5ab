"""What only a pod sees."""

from pipeline.doctor.check import Check
from pipeline.doctor.pod import check_data, check_mlflow, check_volume


def test_mlflow_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert check_mlflow("kdflow-student").state == "fault"


def test_the_volume(monkeypatch, tmp_path):
    monkeypatch.setenv("KDFLOW_CHECKPOINTS", str(tmp_path))
    assert check_volume() == Check("checkpoints writable", "ok", str(tmp_path)) and not list(tmp_path.iterdir())
    monkeypatch.setenv("KDFLOW_CHECKPOINTS", "/proc")
    assert check_volume().state == "fault"


def test_the_data_repository(monkeypatch):
    monkeypatch.delenv("KDFLOW_EXECUTION", raising=False)
    assert [check.state for check in check_data("data/mine", "", "")] == ["unknown"]
    (repository,) = check_data("data/mine", "/no/repository", "main")
    assert repository.state == "unknown" and "not from this machine: data_repo: /no/repository" in repository.detail
    monkeypatch.setenv("KDFLOW_EXECUTION", "in a pod")
    (repository,) = check_data("data/mine", "/no/repository", "main")
    assert repository.state == "fault"
