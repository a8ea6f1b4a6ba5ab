import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from pipeline import submit
from pipeline.status import RunStatus, StepStatus
from tests.pipeline.runs import GOOD, at, ended


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch):
    monkeypatch.setattr(submit, "PAUSE", 0)


def test_submit_uploads_once_and_starts_a_run_each_time(kfp, command, repository):
    for _ in range(2):
        done = command("submit", "--data-rev", "v2", "--set", "distill.weight=2")
        assert done.code == 0, done.err
    (version,) = kfp.versions.values()
    assert version["display_name"] == repository.commit
    assert len(kfp.pipelines) == len(kfp.experiments) == 1 and len(kfp.runs) == 2
    *_, run = kfp.runs.values()
    assert run["display_name"] == repository.commit
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    parameters = run["runtime_config"]["parameters"]
    assert parameters["data_rev"] == "v2" and parameters["distill"]["weight"] == 2
    assert done.out == f"version {repository.commit}\nrun {run['run_id']}\n{kfp.host}/#/runs/details/{run['run_id']}\n"


def test_wait_prints_each_change_and_ends_with_0(kfp, command):
    kfp.progress = list(GOOD)
    done = command("submit", "--wait")
    assert done.code == 0, done.err
    assert done.out.splitlines()[3:] == [
        "prepare: running",
        "prepare: succeeded (1:02:03)",
        "train: succeeded (1:02:03)",
        "run succeeded",
    ]


@pytest.mark.parametrize(
    "task, message",
    [
        ({"train": ended("FAILED", error={"code": 1, "message": "out of\n memory"})}, "train failed: out of memory"),
        (
            {"train": ended("FAILED", state_history=[{"state": "FAILED", "error": {"message": "main: exit code 2"}}])},
            "train failed: main: exit code 2",
        ),
        (
            {"train": ended("FAILED")},
            "train failed: ended without an error message, as a process that is killed does; more memory may help",
        ),
        ({"train": ended("SKIPPED"), "train_driver": ended("FAILED", error={"message": "no such secret"})}, "train failed: no such secret"),
    ],
)
def test_a_failed_run_names_the_step_and_the_error(kfp, command, task, message):
    kfp.progress = [*GOOD[:3], at("FAILED", prepare=ended(), **task)]
    done = command("submit", "--wait")
    (run_id,) = kfp.runs
    assert done.code == 1 and done.out.endswith("run failed\n")
    assert done.err.startswith(f"{message}\nlogs: kdflow pipeline logs {run_id} STEP")


def test_a_run_that_fails_without_a_step(kfp, command):
    kfp.progress = [{"state": "FAILED", "error": {"code": 3, "message": "quota"}}]
    done = command("submit", "--wait")
    assert done.code == 1 and done.err.startswith("the run is failed: quota\n")
    assert done.out.splitlines()[3:] == ["prepare: not run", "train: not run", "run failed"]


def test_interrupted_waiting_leaves_the_run(kfp, command, monkeypatch):
    kfp.progress = [{"state": "RUNNING"}] * 9

    def interrupt(pause):
        raise KeyboardInterrupt

    monkeypatch.setattr(submit, "time", SimpleNamespace(sleep=interrupt))
    done = command("submit", "--wait")
    (run,) = kfp.runs.values()
    assert done.code == 130 and run["state"] == "RUNNING"
    assert f"the run goes on: {kfp.host}/#/runs/details/{run['run_id']}" in done.err
    assert not any("terminate" in request for request in kfp.requests)


@pytest.mark.parametrize("kind", [500, "cut"])
def test_waiting_outlasts_a_server_that_is_away_for_a_while(kfp, command, kind):
    kfp.progress = list(GOOD)
    asked = [0]

    def fault(number, request):
        if request.startswith("GET /apis/v2beta1/runs/"):
            asked[0] += 1
            return kind if 2 <= asked[0] <= 5 else None

    kfp.fault = fault
    done = command("submit", "--wait")
    assert done.code == 0 and done.err.count("; retrying\n") == 4


def test_waiting_ends_when_the_server_stays_away(kfp, command, monkeypatch):
    monkeypatch.setattr(submit, "MAX_FAILURES", 3)
    kfp.fault = lambda number, request: 500 if request.startswith("GET /apis/v2beta1/runs/") else None
    done = command("submit", "--wait")
    assert done.code == 2 and done.err.count("retrying") == 2
    assert "the run goes on: http" in done.err and done.err.splitlines()[-1].startswith("error: http")


def test_a_run_whose_start_is_unsure_is_not_started_blindly_again(kfp, command):
    kfp.fault = lambda number, request: "mute" if request == "POST /apis/v2beta1/runs" else None
    done = command("submit")
    assert done.code == 2 and len(kfp.runs) == 1
    assert re.search(r"the run may have started; see http://.*/#/experiments/details/", done.err)


def test_on_a_terminal_a_table_is_redrawn(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(submit, "Console", lambda **options: Console(file=screen, force_terminal=True, width=60))
    statuses = [RunStatus("v", "1", state, (StepStatus("train-teacher", state),)) for state in ("running", "succeeded")]
    assert submit.follow(iter(statuses)) == statuses[-1]
    assert re.search("running.*succeeded", screen.getvalue(), re.DOTALL)
