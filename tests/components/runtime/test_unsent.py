"""What a store did not take is sent by the next step, once, and only to this store."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.params.models import Params
from components.runtime import unsent
from components.runtime.store import tracking_uri
from components.runtime.stored_run import StoredRun
from components.runtime.tracking import Run, step_run
from tests.components.stores import new_store, records

pytestmark = pytest.mark.usefixtures("execution_one")


def fail(*arguments: object) -> None:
    raise ConnectionError("the server is down")


def folders() -> list[Path]:
    return sorted(Path(".checkpoints/unsent").glob("*"))


def next_step(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of another execution."""
    with monkeypatch.context() as patch:
        patch.setenv("KDFLOW_EXECUTION", "two")
        with step_run("evaluate", settings):
            pass


def test_a_run_that_could_not_even_start_is_recorded_later(settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(ValueError):
        patch.setattr(StoredRun, "open_run", fail)
        with step_run("train_teacher", settings) as run:
            run.log_metrics({"map": 0.5}, step=1)
            run.log_metrics({"map": float("nan")}, step=2)
            run.log_dataset("digits", "outputs/prepare_data", "0123456789abcdef" * 4, "training")
            run.set_tag("kdflow.note", "hello")
            (tmp_path / "report.html").write_text("<p>report</p>")
            run.log_artifact(tmp_path / "report.html")
            (tmp_path / "report.html").unlink()
            raise ValueError
    assert run.id is None and len(folders()) == 1
    next_step(settings, monkeypatch)
    found, client = records(), MlflowClient(tracking_uri())
    record = found["train_teacher"]
    assert (record.info.status, found["one"].info.status, found["two"].info.status) == ("FAILED", "FAILED", "FINISHED")
    assert record.info.start_time < record.info.end_time < found["evaluate"].info.start_time, "the times are those of the step"
    assert record.data.tags["mlflow.parentRunId"] == found["one"].info.run_id and record.data.tags["kdflow.note"] == "hello"
    assert [point.step for point in client.get_metric_history(record.info.run_id, "map")] == [1, 2]
    assert record.inputs and record.inputs.dataset_inputs[0].dataset.name == "digits"
    assert record.data.params["kdflow.seed"] == str(settings.seed)
    assert Path(client.download_artifacts(record.info.run_id, "report.html", str(tmp_path))).read_text() == "<p>report</p>"
    assert folders() == []


def test_the_last_records_of_a_run_are_sent_later_and_refused_ones_are_not(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("train_teacher", settings)
    run.log_metrics({"not*allowed": 1.0})
    run.log_metrics({"map": 0.5}, step=1)
    with monkeypatch.context() as patch:
        run._flush()
        for method in ("log_metrics", "end"):
            patch.setattr(StoredRun, method, fail)
        run.log_metrics({"map": 0.75}, step=2)
        run._end("FINISHED")
    assert [name for name, _ in json.loads((folders()[0] / "records.json").read_text())["calls"]] == ["log_metrics", "end"]
    assert records()["train_teacher"].info.status == "RUNNING"
    next_step(settings, monkeypatch)
    record = records()["train_teacher"]
    assert (record.info.run_id, record.info.status, record.data.metrics) == (run.id, "FINISHED", {"map": 0.75}) and folders() == []


def test_a_store_that_is_still_down_keeps_the_records(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(StoredRun, "open_run", fail)
        with step_run("train_teacher", settings) as run:
            run.log_metrics({"map": 0.5})
    with monkeypatch.context() as patch:
        patch.setattr(StoredRun, "log_metrics", fail)
        next_step(settings, monkeypatch)
    assert len(folders()) == 1 and records()["train_teacher"].info.status == "RUNNING"
    next_step(settings, monkeypatch)
    client = MlflowClient(tracking_uri())
    runs = client.search_runs([records()["one"].info.experiment_id], "tags.`kdflow.step` = 'train_teacher'")
    assert len(runs) == 1 and runs[0].data.metrics == {"map": 0.5} and runs[0].info.status == "FINISHED" and folders() == []


def test_another_store_does_not_get_the_records(settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(StoredRun, "open_run", fail)
        with step_run("train_teacher", settings):
            pass
    (tmp_path / "other").mkdir()
    new_store(tmp_path / "other")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other/mlflow.db")
        next_step(settings, monkeypatch)
        assert set(records()) == {"two", "evaluate"}
    assert len(folders()) == 1 and "sqlite" not in (folders()[0] / "records.json").read_text()


def test_a_damaged_file_is_ignored_and_old_runs_are_deleted(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsent, "MAX_KEPT", 2)
    for content in ("[", "[]", json.dumps({"calls": 3}), ""):
        folder = unsent.unsent_folder() / f"1-{len(folders())}"
        folder.mkdir(parents=True)
        (folder / "records.json").write_text(content)
    next_step(settings, monkeypatch)
    assert len(folders()) == 4 and records()["evaluate"].info.status == "FINISHED"
    with monkeypatch.context() as patch:
        patch.setattr(StoredRun, "open_run", fail)
        with step_run("train_teacher", settings):
            pass
    assert len(folders()) == 2 and folders()[-1].name > "1-3"
