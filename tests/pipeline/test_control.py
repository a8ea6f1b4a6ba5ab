import pytest
from mlflow import MlflowClient

from components.runtime.execution import Execution, open_parent
from pipeline import control
from tests.pipeline.runs import at, ended
from tests.servers import mlflow_server


@pytest.fixture
def run_id(kfp, command, monkeypatch):
    """A run that has started."""
    monkeypatch.setattr(control, "PAUSE", 0)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    command("submit")
    (run_id,) = kfp.runs
    kfp.runs[run_id] |= at("RUNNING", prepare=ended())
    return run_id


def test_stop_ends_a_run_which_is_then_stopped_and_not_failed(kfp, command, run_id):
    stopped = command("stop", run_id)
    assert stopped.code == 0 and stopped.out == "run stopped\n"
    assert "MLflow: not reached" in stopped.err and "MLFLOW_TRACKING_URI" in stopped.err
    shown = command("status", run_id)
    assert ": stopped\n" in shown.out and "failed" not in shown.out
    again = command("stop", run_id)
    assert again.out == "run stopped\n"
    assert sum("terminate" in request for request in kfp.requests) == 1


def test_a_run_that_failed_after_a_retry_is_failed(kfp, command, run_id):
    history = [{"state": state} for state in ("RUNNING", "CANCELING", "FAILED", "RUNNING", "FAILED")]
    kfp.runs[run_id] |= {"state": "FAILED", "state_history": history}
    assert ": failed\n" in command("status", run_id).out


def test_retry_continues_a_failed_run(kfp, command, run_id):
    running = command("retry", run_id)
    assert running.code == 2 and "Workflow must be Failed/Error to retry" in running.err
    kfp.runs[run_id]["state"] = "FAILED"
    retried = command("retry", run_id)
    assert retried.code == 0 and f"#/runs/details/{run_id}" in retried.out and kfp.runs[run_id]["state"] == "RUNNING"


def test_stop_says_that_mlflow_does_not_answer(kfp, command, run_id, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    stopped = command("stop", run_id)
    assert stopped.code == 0 and "MLflow: http://127.0.0.1:1 fails (" in stopped.err and "until the next run" in stopped.err


@pytest.mark.slow
def test_stop_closes_what_stayed_running_in_mlflow(kfp, command, run_id, monkeypatch, tmp_path):
    with mlflow_server(tmp_path / "mlflow") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        client = MlflowClient(url)
        experiment = client.create_experiment("kdflow")
        ours, theirs = (open_parent(client, experiment, Execution(name, name)) for name in (run_id, "another run"))
        children = [client.create_run(experiment, run_name="train", tags={"mlflow.parentRunId": parent}) for parent in (ours, theirs)]
        assert "MLflow: 2 runs set to KILLED\n" in command("stop", run_id).out
        states = [client.get_run(run).info.status for run in (ours, children[0].info.run_id, theirs, children[1].info.run_id)]
        assert states == ["KILLED", "KILLED", "RUNNING", "RUNNING"]
