"""The run of a killed step is closed by the next step of its host, one of another host after its heartbeat is old."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.params.models import Params
from components.runtime import tracking
from components.runtime.dead_runs import HEARTBEAT_TAG, HOST_TAG, MAX_SILENCE, PROCESS_TAG
from components.runtime.store import tracking_uri
from components.runtime.tracking import step_run
from tests.components.stores import records

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("execution_one")
KILLED_STEP = """
import os, signal
from components.params.load import load_params
from components.runtime.tracking import step_run
with step_run("train_teacher", load_params()) as run:
    run.set_tag("kdflow.note", run.id)
    run._flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def next_step(settings: Params, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The status by name of all runs after a step of another execution."""
    monkeypatch.setenv("KDFLOW_EXECUTION", "two")
    with step_run("evaluate", settings):
        pass
    return {name: run.info.status for name, run in records().items()}


def test_the_run_of_a_killed_step_is_closed_by_the_next_step(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    assert subprocess.run([sys.executable, "-c", KILLED_STEP], env=environment).returncode == -9
    assert records()["train_teacher"].info.status == records()["one"].info.status == "RUNNING"
    statuses = {"train_teacher": "FAILED", "one": "FAILED", "evaluate": "FINISHED", "two": "FINISHED"}
    assert next_step(settings, monkeypatch) == statuses


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ({}, "RUNNING"),
        ({PROCESS_TAG: f"{os.getpid()} 1000000000.00"}, "FAILED"),
        ({HOST_TAG: "another"}, "RUNNING"),
        ({HOST_TAG: "another", HEARTBEAT_TAG: f"{MAX_SILENCE - 300:.0f}"}, "RUNNING"),
        ({HOST_TAG: "another", HEARTBEAT_TAG: f"{MAX_SILENCE + 60:.0f}"}, "FAILED"),
        ({HOST_TAG: "another", HEARTBEAT_TAG: "?"}, "RUNNING"),
    ],
    ids=["alive", "process id used again", "other host", "other host, silent for five minutes", "other host, silent", "changed tag"],
)
def test_only_dead_runs_are_closed(tags: dict[str, str], status: str, settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat in digits is the number of seconds since it."""
    with step_run("train_teacher", settings) as run:
        client = MlflowClient(tracking_uri())
        for name, value in tags.items():
            seconds_ago = name == HEARTBEAT_TAG and value.isdigit()
            client.set_tag(run.id or "", name, f"{time.time() - int(value):.0f}" if seconds_ago else value)
        found = next_step(settings, monkeypatch)
        assert (found["train_teacher"], found["evaluate"], found["two"]) == (status, "FINISHED", "FINISHED")
    assert records()["train_teacher"].info.status == "FINISHED", "a step that was alive after all records its own end"


def test_a_step_records_that_it_is_alive(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "HEARTBEAT", 0.2)
    with step_run("train_teacher", settings) as run:
        MlflowClient(tracking_uri()).set_tag(run.id or "", HEARTBEAT_TAG, "1")
        deadline = time.monotonic() + 30
        while records()["train_teacher"].data.tags[HEARTBEAT_TAG] == "1" and time.monotonic() < deadline:
            time.sleep(0.2)
        assert float(records()["train_teacher"].data.tags[HEARTBEAT_TAG]) == pytest.approx(time.time(), abs=30)
