"""Tracking against real stores: what is recorded, and that no fault of a store reaches the step."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow.data
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as Record

from components import tracking
from components.courier import Courier, masked
from components.execution import current_execution, git_tags
from components.params import Params, load_params
from components.tracking import step_run
from tests.components.stores import new_store

ROOT = Path(__file__).parents[2]
FOREIGN = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "DVC_STAGE", "DVC_EXP_NAME", "KDFLOW_GIT_COMMIT")


@pytest.fixture
def settings() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new working folder, and so a new default store, inside an execution named "one"."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("KDFLOW_EXECUTION", "one")
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)


def records() -> dict[str, Record]:
    client = MlflowClient(tracking.store_uri())
    experiment = client.get_experiment_by_name("kdflow")
    assert experiment
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def test_two_steps_of_an_execution_share_a_parent(settings: Params) -> None:
    for step in ("prepare_data", "train_teacher"):
        with step_run(step, settings):
            pass
    runs = records()
    assert set(runs) == {"one", "prepare_data", "train_teacher"}
    assert runs["one"].data.tags["kdflow.execution"] == "one"
    for step in ("prepare_data", "train_teacher"):
        assert runs[step].data.tags["mlflow.parentRunId"] == runs["one"].info.run_id
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_another_execution_has_another_parent(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    with step_run("prepare_data", settings):
        pass
    monkeypatch.delenv("KDFLOW_EXECUTION")
    with step_run("evaluate", settings):
        pass
    runs = records()
    assert runs["evaluate"].data.tags["mlflow.parentRunId"] == runs["by hand"].info.run_id != runs["one"].info.run_id


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
    copy = MlflowClient(tracking.store_uri()).download_artifacts(record.info.run_id, "report.html", str(tmp_path))
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


def test_the_last_try_of_a_step_counts_for_the_parent(settings: Params) -> None:
    with pytest.raises(ValueError), step_run("train_teacher", settings):
        raise ValueError
    with step_run("prepare_data", settings):
        assert records()["one"].info.status == "RUNNING"
    assert records()["one"].info.status == "FAILED"
    with step_run("train_teacher", settings):
        pass
    assert records()["one"].info.status == "FINISHED"


def test_a_run_started_by_others_is_used_and_not_ended(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MlflowClient(tracking.store_uri())
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


def test_a_rejected_record_costs_only_itself(settings: Params, capsys: pytest.CaptureFixture[str]) -> None:
    with step_run("evaluate", settings) as run:
        run.metrics({"not*allowed": 1.0})
        run.metrics({"not*allowed": 1.0})
        run.metrics({"map": 0.5})
    assert records()["evaluate"].data.metrics == {"map": 0.5}
    assert records()["evaluate"].info.status == "FINISHED"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tracking: ") and line.endswith("; the step goes on")


def test_a_broken_store_is_one_line(
    settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_text("this is no database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{broken}")
    with step_run("evaluate", settings) as run:
        run.metrics({"map": 0.5})
        run.dataset("digits", "outputs/prepare_data", "0" * 64, "testing")
        run.artifact(broken)
        run.tag("kdflow.note", "hello")
    assert run.id is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "not a database" in line


def test_a_store_that_cannot_be_opened_is_one_line(settings: Params, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlflow.db").unlink()
    (tmp_path / "mlflow.db").mkdir()
    with step_run("evaluate", settings) as run:
        run.metrics({"map": 0.5})
    assert capsys.readouterr().err == "tracking: unable to open database file; the step goes on\n"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("port", ["silent_port", "closed_port"])
def test_a_dead_server_costs_seconds(
    settings: Params, port: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "START_PATIENCE", 2.0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{request.getfixturevalue(port)}")
    start = time.monotonic()
    with step_run("evaluate", settings) as run:
        run.metrics({"map": 0.5})
        run.artifact(ROOT / "params.yaml")
    assert run.id is None
    assert time.monotonic() - start < 8
    (line,) = capsys.readouterr().err.splitlines()
    assert "http://***@127.0.0.1" in line and "secret" not in line


def test_a_store_that_stops_answering_costs_seconds(
    settings: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "PATIENCE", 1.0)
    monkeypatch.setattr(tracking, "START_PATIENCE", 0.5)
    start = time.monotonic()
    with step_run("evaluate", settings) as run:
        while run.id is None:
            time.sleep(0.1)
        run._courier.send(lambda: time.sleep(6))
        for _ in range(4):
            run.artifact(ROOT / "params.yaml")
    assert time.monotonic() - start < 5
    assert "has stopped answering" in capsys.readouterr().err.splitlines()[-1]


def test_a_new_store_is_made_in_silence(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from components.params import load_params; from components.tracking import step_run\n"
        f"with step_run('evaluate', load_params(Path({str(ROOT / 'params.yaml')!r}))) as run: run.metrics({{'map': 0.5}})"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    (tmp_path / "mlflow.db").unlink()
    answer = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert (answer.stdout, answer.stderr) == ("", "")
    assert records()["evaluate"].info.status == "FINISHED"


def test_steps_of_one_dvc_command_are_one_execution(tmp_path: Path) -> None:
    dvc = tmp_path / "dvc"
    stage = f'{sys.executable} -c "from components.execution import current_execution as c; print(c())"'
    dvc.write_text(f"import subprocess\nfor _ in range(2): subprocess.run({stage!r}, shell=True, check=True)\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_STAGE": "evaluate"}
    del environment["KDFLOW_EXECUTION"]

    def run() -> list[str]:
        answer = subprocess.run([sys.executable, dvc, "repro"], env=environment, capture_output=True, text=True, check=True)
        return answer.stdout.splitlines()

    first, second = run()
    assert first == second and "dvc repro" in first
    assert first not in run()
    environment["DVC_EXP_NAME"] = "muddy-toad"
    assert "muddy-toad" in run()[0]


def test_by_hand_is_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KDFLOW_EXECUTION")
    assert current_execution().identity.startswith(f"{os.getpid()}-")
    assert current_execution().name == "by hand"


def test_the_code_is_named_by_commit_and_changes(tmp_path: Path) -> None:
    assert git_tags() == {}
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for name in ("code.py", "dvc.lock"):
        (tmp_path / name).write_text("1")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    tags = git_tags()
    assert len(tags["kdflow.git_commit"]) == 40
    (tmp_path / "dvc.lock").write_text("2")
    assert git_tags() == tags | {"kdflow.git_dirty": "false"}
    (tmp_path / "code.py").write_text("2")
    assert git_tags() == tags | {"kdflow.git_dirty": "true"}


def test_an_image_names_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDFLOW_GIT_COMMIT", "abc")
    assert git_tags() == {"kdflow.git_commit": "abc"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://host/path", "http://host/path"),
        ("API request to https://user:pass@host:5000/api failed", "API request to https://***@host:5000/api failed"),
        ("postgresql://user:p/w@rd@host/db", "postgresql://***@host/db"),
        ("s3://bucket/key", "s3://bucket/key"),
    ],
)
def test_passwords_in_addresses_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_a_courier_survives_its_errands(capsys: pytest.CaptureFixture[str]) -> None:
    courier, done = Courier(), []
    courier.send(lambda: 1 / 0)
    courier.send(lambda: done.append(1))
    assert courier.wait(5)
    assert done == [1]
    assert capsys.readouterr().err == "tracking: division by zero; the step goes on\n"
    courier.send(lambda: time.sleep(0.5))
    assert not courier.wait(0.01)
    courier.dismiss()
