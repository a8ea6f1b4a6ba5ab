"""Failures of a store never reach the step: a rejected record, a broken, dead or silent store costs a warning and some seconds."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.params.models import Params
from components.runtime import tracking
from components.runtime.tracking import step_run
from tests.components.stores import records

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("execution_one")


def test_a_rejected_record_does_not_affect_the_others(settings: Params, capsys: pytest.CaptureFixture[str]) -> None:
    with step_run("evaluate", settings) as run:
        run.log_metrics({"not*allowed": 1.0})
        run.log_metrics({"not*allowed": 1.0})
        run.log_metrics({"map": 0.5})
    assert records()["evaluate"].data.metrics == {"map": 0.5}
    assert records()["evaluate"].info.status == "FINISHED"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tracking: ") and line.endswith("; the step goes on")


def test_a_broken_store_causes_one_warning(
    settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_text("not sqlite" * 200)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{broken}")
    with step_run("evaluate", settings) as run:
        run.log_metrics({"map": 0.5})
        run.log_dataset("digits", "outputs/prepare_data", "0" * 64, "testing")
        run.log_artifact(broken)
        run.set_tag("kdflow.note", "hello")
    assert run.id is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "not a database" in line


def test_a_store_that_cannot_be_opened_causes_one_warning(settings: Params, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlflow.db").unlink()
    (tmp_path / "mlflow.db").mkdir()
    with step_run("evaluate", settings) as run:
        run.log_metrics({"map": 0.5})
    assert capsys.readouterr().err == "tracking: unable to open database file; the step goes on\n"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("port", ["silent_port", "closed_port"])
def test_a_server_that_does_not_answer_delays_the_step_by_seconds(
    settings: Params, port: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "START_TIMEOUT", 2.0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{request.getfixturevalue(port)}")
    start = time.monotonic()
    with step_run("evaluate", settings) as run:
        run.log_metrics({"map": 0.5})
        run.log_artifact(ROOT / "params.yaml")
    assert run.id is None
    assert time.monotonic() - start < 8
    (line,) = capsys.readouterr().err.splitlines()
    assert "http://***@127.0.0.1" in line and "secret" not in line


def test_a_store_that_stops_answering_delays_the_step_by_seconds(
    settings: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "TIMEOUT", 1.0)
    monkeypatch.setattr(tracking, "START_TIMEOUT", 0.5)
    start = time.monotonic()
    with step_run("evaluate", settings) as run:
        while run.id is None:
            time.sleep(0.1)
        run._recorder.submit(lambda: time.sleep(6))
        for _ in range(4):
            run.log_artifact(ROOT / "params.yaml")
    assert time.monotonic() - start < 5
    assert "has stopped answering" in capsys.readouterr().err.splitlines()[-1]
