"""Tracking in real stores: what is logged, and how the run of a step ends."""

import os
from pathlib import Path

import mlflow.data
import pytest
from mlflow import MlflowClient

from components.params.models import Params
from components.runtime.store import tracking_uri
from components.runtime.tracking import step_run
from tests.components.stores import records

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("execution_one")


def test_metrics_tags_artifacts_and_parameters_are_logged(settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tmp_path / "report.html"
    report.write_text("<p>report</p>")
    monkeypatch.setenv("KDFLOW_THREADS", "3")
    with step_run("evaluate", settings) as run:
        run.log_metrics({"map": 0.5}, step=1)
        run.log_metrics({"map": 0.75}, step=2)
        run.set_tag("kdflow.note", "hello")
        run.log_artifact(report)
        report.unlink()
    record = records()["evaluate"]
    assert run.id == record.info.run_id
    assert record.data.metrics["map"] == 0.75
    assert record.data.tags["kdflow.note"] == "hello" and record.data.tags["kdflow.threads"] == "3"
    assert record.data.params["kdflow.student.train.epochs"] == str(settings.student.train.epochs)
    assert all(name.startswith("kdflow.") for name in record.data.params)
    copy = MlflowClient(tracking_uri()).download_artifacts(record.info.run_id, "report.html", str(tmp_path))
    assert Path(copy).read_text() == "<p>report</p>"


def test_a_dataset_is_logged_with_its_full_digest(settings: Params) -> None:
    digest = "0123456789abcdef" * 4
    with step_run("train_teacher", settings) as run:
        run.log_dataset("digits", "outputs/prepare_data", digest, "training")
    record = records()["train_teacher"]
    assert record.inputs
    (used,) = record.inputs.dataset_inputs
    assert (used.dataset.name, used.tags[0].value) == ("digits", "training")
    assert digest.startswith(used.dataset.digest)
    assert record.data.tags["kdflow.digest.digits"] == digest
    assert mlflow.data.get_source(used.dataset).to_dict() == {"uri": "outputs/prepare_data"}


@pytest.mark.parametrize(("error", "status"), [(ValueError("mine"), "FAILED"), (SystemExit(2), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_an_error_of_the_step_is_raised_unchanged(settings: Params, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)) as caught, step_run("train_teacher", settings):
        raise error
    assert caught.value is error
    assert records()["train_teacher"].info.status == status
    assert records()["one"].info.status == status


def test_a_run_that_somebody_else_started_is_used_and_not_ended(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MlflowClient(tracking_uri())
    theirs = client.create_run(client.create_experiment("theirs")).info.run_id
    client.log_param(theirs, "student.width", "another text for a parameter of ours")
    monkeypatch.setenv("MLFLOW_RUN_ID", theirs)
    with pytest.raises(ValueError), step_run("train_teacher", settings) as run:
        run.log_metrics({"map": 0.5})
        raise ValueError
    assert run.id == theirs
    client.log_metric(theirs, "later", 1.0)
    record = client.get_run(theirs)
    assert record.info.status == "RUNNING"
    assert record.data.metrics == {"map": 0.5, "later": 1.0}
    assert record.data.params["kdflow.student.width"] == str(settings.student.width)
    assert os.environ["MLFLOW_RUN_ID"] == theirs
