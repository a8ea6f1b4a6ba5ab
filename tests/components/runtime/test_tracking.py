"""Tracking against real stores: what is recorded, and how a step's run ends."""

import os
import subprocess
import sys
from pathlib import Path

import mlflow.data
import pytest
from mlflow import MlflowClient

from components.params.models import Params
from components.runtime.tracking import step_run, tracking_uri
from tests.components.stores import records

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("execution_one")


def test_records_come_back(settings: Params, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<p>report</p>")
    with step_run("evaluate", settings) as run:
        run.metrics({"map": 0.5}, step=1)
        run.metrics({"map": 0.75}, step=2)
        run.tag("kdflow.note", "hello")
        run.artifact(report)
        report.unlink()
    record = records()["evaluate"]
    assert run.id == record.info.run_id
    assert record.data.metrics["map"] == 0.75
    assert record.data.tags["kdflow.note"] == "hello"
    assert record.data.params["kdflow.student.train.epochs"] == str(settings.student.train.epochs)
    assert all(name.startswith("kdflow.") for name in record.data.params)
    copy = MlflowClient(tracking_uri()).download_artifacts(record.info.run_id, "report.html", str(tmp_path))
    assert Path(copy).read_text() == "<p>report</p>"


def test_a_data_set_comes_back_with_its_full_digest(settings: Params) -> None:
    digest = "0123456789abcdef" * 4
    with step_run("train_teacher", settings) as run:
        run.dataset("digits", "outputs/prepare_data", digest, "training")
    record = records()["train_teacher"]
    assert record.inputs
    (used,) = record.inputs.dataset_inputs
    assert (used.dataset.name, used.tags[0].value) == ("digits", "training")
    assert digest.startswith(used.dataset.digest)
    assert record.data.tags["kdflow.digest.digits"] == digest
    assert mlflow.data.get_source(used.dataset).to_dict() == {"uri": "outputs/prepare_data"}


@pytest.mark.parametrize(("error", "status"), [(ValueError("mine"), "FAILED"), (SystemExit(2), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_the_steps_own_error_passes_through(settings: Params, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)) as caught, step_run("train_teacher", settings):
        raise error
    assert caught.value is error
    assert records()["train_teacher"].info.status == status
    assert records()["one"].info.status == status


def test_a_run_started_by_others_is_used_and_not_ended(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MlflowClient(tracking_uri())
    theirs = client.create_run(client.create_experiment("theirs")).info.run_id
    client.log_param(theirs, "student.width", "another text for a parameter of ours")
    monkeypatch.setenv("MLFLOW_RUN_ID", theirs)
    with pytest.raises(ValueError), step_run("train_teacher", settings) as run:
        run.metrics({"map": 0.5})
        raise ValueError
    assert run.id == theirs
    client.log_metric(theirs, "later", 1.0)
    record = client.get_run(theirs)
    assert record.info.status == "RUNNING"
    assert record.data.metrics == {"map": 0.5, "later": 1.0}
    assert record.data.params["kdflow.student.width"] == str(settings.student.width)
    assert os.environ["MLFLOW_RUN_ID"] == theirs


def test_a_new_store_is_made_in_silence(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from components.params.load import load_params; from components.runtime.tracking import step_run\n"
        f"with step_run('evaluate', load_params(Path({str(ROOT / 'params.yaml')!r}))) as run: run.metrics({{'map': 0.5}})"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    (tmp_path / "mlflow.db").unlink()
    answer = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert (answer.stdout, answer.stderr) == ("", "")
    assert records()["evaluate"].info.status == "FINISHED"
