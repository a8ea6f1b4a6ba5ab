"""No fault of a store reaches the step: one that rejects, is broken, is dead, or stops answering costs a line and seconds."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.params.models import Params
from components.runtime import tracking
from components.runtime.recorder import BackgroundRecorder, mask_passwords
from components.runtime.tracking import step_run
from tests.components.stores import records

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("execution_one")


def test_a_courier_survives_its_errands(capsys: pytest.CaptureFixture[str]) -> None:
    courier, done = BackgroundRecorder(), []
    courier.send(lambda: 1 / 0)
    courier.send(lambda: done.append(1))
    assert courier.wait(5)
    assert done == [1]
    assert capsys.readouterr().err == "tracking: division by zero; the step goes on\n"
    courier.send(lambda: time.sleep(0.5))
    assert not courier.wait(0.01)
    courier.dismiss()


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
    assert mask_passwords(text) == shown


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
