import io
import re
import subprocess
import sys

import pytest
from rich.console import Console

from pipeline import submit
from pipeline.__main__ import main
from pipeline.client import ServerError
from pipeline.cluster import load_cluster
from pipeline.package import steps
from pipeline.release import PIPELINE
from pipeline.status import RunStatus, Step
from tests.pipeline.conftest import IMAGE, ROOT

BEGUN = {"start_time": "2026-11-23T03:00:00Z", "end_time": "1970-01-01T00:00:00Z"}
DONE = {"start_time": "2026-11-23T03:00:00Z", "end_time": "2026-11-23T04:02:03Z"}


def at(state, **tasks):
    """A run in this state, with these tasks; for a state alone the task has begun, for a pair it has also ended."""
    details = [{"display_name": name.replace("_", "-"), **task} for name, task in tasks.items()]
    return {"state": state, "run_details": {"task_details": details}}


def running(state="RUNNING"):
    return {"state": state, **BEGUN}


def ended(state="SUCCEEDED", **more):
    return {"state": state, **DONE, **more}


GOOD = [
    {"state": "PENDING"},
    at("RUNNING", root_driver=ended(), prepare_driver=running()),
    at("RUNNING", prepare_driver=ended(), prepare=running()),
    at("RUNNING", prepare_driver=ended(), prepare=ended(), train_driver=running("PENDING")),
    at("SUCCEEDED", prepare_driver=ended(), prepare=ended(), train_driver=ended(), train=ended()),
]


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
        ({"train": ended("FAILED")}, "train failed"),
        ({"train": ended("SKIPPED"), "train_driver": ended("FAILED", error={"message": "no such secret"})}, "train failed: no such secret"),
    ],
)
def test_a_failed_run_names_the_step_and_the_error(kfp, command, task, message):
    kfp.progress = [*GOOD[:3], at("FAILED", prepare=ended(), **task)]
    done = command("submit", "--wait")
    (run_id,) = kfp.runs
    assert done.code == 1 and done.out.endswith("run failed\n")
    hint = f"kubectl logs -n kubeflow-user -l pipeline/runid={run_id} -c main"
    assert done.err.startswith(f"{message}\nlogs: {hint}")


def test_a_run_that_fails_without_a_step(kfp, command):
    kfp.progress = [{"state": "FAILED", "error": {"code": 3, "message": "quota"}}]
    done = command("submit", "--wait")
    assert done.code == 1 and done.err.startswith("the run is failed: quota\n")
    assert done.out.splitlines()[3:] == ["prepare: not run", "train: not run", "run failed"]


def test_interrupted_waiting_leaves_the_run(kfp, command, monkeypatch):
    kfp.progress = [{"state": "RUNNING"}] * 9

    def interrupt(pause):
        raise KeyboardInterrupt

    monkeypatch.setattr(submit.changes, "__defaults__", (interrupt,))
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
    assert done.code == 0 and done.err.count("; asking again\n") == 4


def test_waiting_ends_when_the_server_stays_away(kfp, command, monkeypatch):
    monkeypatch.setattr(submit, "PATIENCE", 3)
    kfp.fault = lambda number, request: 500 if request.startswith("GET /apis/v2beta1/runs/") else None
    done = command("submit", "--wait")
    assert done.code == 2 and done.err.count("asking again") == 2 and "error: " in done.err


def test_a_run_whose_start_is_unsure_is_not_started_blindly_again(kfp, command):
    kfp.fault = lambda number, request: "mute" if request == "POST /apis/v2beta1/runs" else None
    done = command("submit")
    assert done.code == 2 and len(kfp.runs) == 1
    assert re.search(r"the run may have started all the same; look at http://.*/#/experiments/details/", done.err)


def test_uncommitted_changes(kfp, command, repository):
    params = repository.path / "params.yaml"
    clean = params.read_text()
    try:
        params.write_text(clean.replace("seed: 0", "seed: 1"))
        refused = command("submit")
        assert refused.code == 2 and "uncommitted changes; commit them, or add --allow-dirty" in refused.err and kfp.requests == []
        assert f"version {repository.commit}-dirty-" in command("submit", "--allow-dirty").out
    finally:
        params.write_text(clean)
    (repository.path / "note.txt").touch()
    assert f"version {repository.commit}\n" in command("submit").out


def test_a_version_is_never_two_things(kfp, command):
    command("submit")
    next(iter(kfp.versions.values()))["description"] = "sha256 of another"
    refused = command("submit")
    assert refused.code == 2 and "the server holds another pipeline as" in refused.err and len(kfp.runs) == 1


def test_without_git(kfp, command, tmp_path, monkeypatch, repository):
    (tmp_path / "params.yaml").write_text((repository.path / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    refused = command("submit")
    assert refused.code == 2 and "tells no commit here" in refused.err
    assert "version v7\n" in command("submit", "--version", "v7").out


@pytest.mark.parametrize("argument", ["train_baseline", "train_baseline=[", "nothing=1", "image=kdflow:latest"])
def test_wrong_arguments_reach_no_server(kfp, command, argument):
    refused = command("submit", "--argument", argument)
    assert refused.code == 2 and refused.err.startswith("error: --argument: ") and kfp.requests == []


def test_on_a_terminal_a_table_is_redrawn(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda **options: Console(file=screen, force_terminal=True, width=60))
    statuses = [RunStatus("v", "1", state, (Step("train-teacher", state),)) for state in ("running", "succeeded")]
    assert submit.follow(iter(statuses)) == statuses[-1]
    assert re.search("running.*succeeded", screen.getvalue(), re.DOTALL)


def test_status_shows_a_run(kfp, command):
    kfp.progress = list(GOOD)
    command("submit", "--wait")
    (run_id,) = kfp.runs
    shown = command("status", run_id)
    assert shown.code == 0 and f"#/runs/details/{run_id}" in shown.out
    assert re.search(r"prepare │ succeeded │ 1:02:03", shown.out)
    unknown = command("status", "nothing")
    assert unknown.code == 2 and "answers 404: nothing not found; check the id" in unknown.err


def test_schedules_are_listed_with_their_last_run(kfp, command):
    assert command("schedules").out == "nothing is scheduled\n"
    command("schedule", "--cron", "0 3 * * 1")
    command("schedule", "--cron", "@daily", "--name", "fresh", "--pause")
    schedule = next(iter(kfp.schedules.values()))
    for state in ("SUCCEEDED", "FAILED"):
        command("submit")
        list(kfp.runs.values())[-1].update(state=state, recurring_run_id=schedule["recurring_run_id"])
    foreign = kfp.new(kfp.schedules, "recurring_run_id", {"display_name": "foreign", "status": "ENABLED"})
    out = command("schedules").out
    assert re.search(r"fresh +│ 0 0 0 \* \* \* +│ +│ paused +│ [0-9a-f]{12} +│ none yet", out)
    assert re.search(r"kdflow +│ 0 0 3 \* \* 1 +│ Mon .* 03:00 +│ enabled +│ [0-9a-f]{12} +│ failed", out)
    assert "foreign" not in out and "times" not in out
    del kfp.schedules[foreign["recurring_run_id"]]


def test_unschedule_what_is_not_there(kfp, command):
    assert "is not scheduled" in command("unschedule", "nothing").err
    command("schedule", "--cron", "@daily")
    assert command("unschedule", "nothing").code == 2 and len(kfp.schedules) == 1
    assert command("unschedule", "kdflow").code == 0 and kfp.schedules == {}


def test_the_graph_as_it_is_runs_on_the_server(kfp, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    main(("submit", "--image", IMAGE, "--version", "trial", "--data-repo", "https://example.org/data", "--data-rev", "v1"))
    assert [pipeline["name"] for pipeline in kfp.pipelines.values()] == [PIPELINE]
    (run,) = kfp.runs.values()
    (version,) = kfp.versions.values()
    assert run["service_account"] == load_cluster().service_account
    assert run["runtime_config"]["parameters"].keys() >= {"image", "data_repo", "data_rev", "seed", "data", "teacher", "student", "distill"}
    assert steps(version["pipeline_spec"])[-1] == "register-model"


HELP = """
import sys
from pipeline.__main__ import main
for command in ("submit", "schedule", "schedules", "unschedule", "status"):
    try:
        main([command, "--help"])
    except SystemExit:
        assert "kfp" not in sys.modules, command
"""


def test_help_needs_no_kfp():
    assert "examples:" in subprocess.check_output((sys.executable, "-c", HELP), text=True, cwd=ROOT)


def test_a_server_error_says_whether_it_passes():
    assert [ServerError("h", status, "p", "r").passing for status in (0, 429, 500, 503, 401, 404)] == [True] * 4 + [False] * 2
