import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from kd.errors import InputError
from pipeline import recurring_runs
from pipeline.client import connect
from pipeline.recurring_runs import Schedule, deploy
from pipeline.release import Release
from tests.pipeline.conftest import IMAGE, ROOT

MONDAYS = ("schedule", "--cron", "0 3 * * 1")
FRIDAYS = ("schedule", "--cron", "0 3 * * 5")


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch):
    monkeypatch.setattr(recurring_runs, "RETRY_DELAYS", (0, 0))


def the_one(kfp):
    (only,) = kfp.schedules.values()
    return only


def settings(kfp):
    """The one schedule, without what the server makes up."""
    ids = ("recurring_run_id", "created_at", "experiment_id", "pipeline_version_reference", "description", "mode")
    return {name: value for name, value in the_one(kfp).items() if name not in ids}


def changed(requests):
    return [request.partition("?")[0] for request in requests if not request.startswith("GET")]


def test_the_first_deployment(kfp, command, repository):
    done = command(*MONDAYS)
    assert done.code == 0, done.err
    assert f"schedule 'kdflow' created\nversion {repository.commit}, cron 0 0 3 * * 1\nnext (UTC): Mon " in done.out
    only = settings(kfp)
    assert only.pop("runtime_config")["parameters"].keys() == {"image", "distill", "seed"}
    assert only == {
        "display_name": "kdflow",
        "trigger": {"cron_schedule": {"cron": "0 0 3 * * 1"}},
        "max_concurrency": "1",
        "no_catchup": True,
        "service_account": only["service_account"],
        "status": "ENABLED",
    }


def test_the_same_settings_change_nothing(kfp, command):
    command(*MONDAYS)
    before, requests = the_one(kfp), len(kfp.requests)
    done = command(*MONDAYS)
    assert "unchanged" in done.out and done.code == 0
    assert the_one(kfp) == before and changed(kfp.requests[requests:]) == []


@pytest.mark.parametrize("change", [("--cron", "0 4 * * 1"), ("--set", "distill.weight=2"), ("--catchup",), ("--version", "other")])
def test_other_settings_replace_it(kfp, command, change):
    command(*MONDAYS)
    old, requests = the_one(kfp)["recurring_run_id"], len(kfp.requests)
    assert "replaced" in command(*MONDAYS, *change).out
    assert the_one(kfp)["recurring_run_id"] != old and kfp.enabled() == ["kdflow"]
    assert [r.rpartition("/")[2].replace(old, "OLD") for r in changed(kfp.requests[requests:]) if "recurring" in r] == [
        "recurringruns",
        "OLD:disable",
        f"{the_one(kfp)['recurring_run_id']}:enable",
        "OLD",
    ]


def test_pause_and_resume_keep_the_schedule(kfp, command):
    command(*MONDAYS)
    before = the_one(kfp)["recurring_run_id"]
    assert "paused" in command(*MONDAYS, "--pause").out and kfp.enabled() == []
    assert "unchanged" in command(*MONDAYS, "--pause").out
    assert "resumed" in command(*MONDAYS).out and kfp.enabled() == ["kdflow"]
    assert the_one(kfp)["recurring_run_id"] == before


def test_a_paused_schedule_is_replaced_by_a_paused_one(kfp, command):
    command(*MONDAYS)
    assert "replaced" in command(*FRIDAYS, "--pause").out
    assert the_one(kfp)["status"] == "DISABLED"


def test_names_are_apart(kfp, command):
    command(*MONDAYS)
    command(*FRIDAYS, "--name", "fresh")
    for _ in range(4):
        command(*FRIDAYS, "--name", "another", "--set", "distill.weight=3")
    assert sorted(kfp.enabled()) == ["another", "fresh", "kdflow"]
    assert command("unschedule", "fresh").out == "schedule 'fresh' deleted\n"
    assert sorted(kfp.enabled()) == ["another", "kdflow"]


@pytest.fixture
def wanted(kfp, command):
    """Old and new settings of one name."""
    command(*MONDAYS)
    (version,) = kfp.versions.values()
    arguments = the_one(kfp)["runtime_config"]["parameters"]
    made = Release(version["pipeline_id"], version["pipeline_version_id"], "v", the_one(kfp)["experiment_id"], arguments, None)
    return Schedule("kdflow", "0 0 3 * * 1", made), Schedule("kdflow", "0 0 3 * * 5", made)


def attempt(deployment, kfp, kind=None, first=0, last=0):
    """Run a deployment in which requests number `first` to `last` go wrong; its error, and how many requests it sent."""
    start = len(kfp.requests)
    kfp.fault = lambda number, request: kind if first <= number - start <= last else None
    kfp.moments.clear()
    try:
        deployment()
        error = ""
    except InputError as stopped:
        error = str(stopped)
    kfp.fault = lambda number, request: None
    assert all(exist >= 1 and enabled <= 1 for exist, enabled in kfp.moments)
    return error, len(kfp.requests) - start


@pytest.mark.parametrize("kind", [500, "cut", "mute"])
@pytest.mark.parametrize("more", [0, 99], ids=["one request fails", "and all that follow"])
@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "paused"])
def test_a_deployment_that_was_stopped_anywhere_is_completed_by_the_next(kfp, wanted, kind, more, enabled):
    """Deploy, change the cron, fail at each request in turn, deploy again."""
    client = connect(None, "kubeflow-user")
    old, new = wanted[0], replace(wanted[1], enabled=enabled)
    deploy(client, old)
    _, requests = attempt(lambda: deploy(client, new), kfp)
    reached = settings(kfp)
    assert requests >= 4
    for failing in range(1, requests + 1):
        deploy(client, old)
        assert settings(kfp) != reached
        error, _ = attempt(lambda: deploy(client, new), kfp, kind, failing, failing + more)
        assert len(kfp.enabled()) == 1 or "may be paused now" in error or not enabled
        assert error or settings(kfp) == reached
        error, _ = attempt(lambda: deploy(client, new), kfp)
        assert not error and settings(kfp) == reached


@pytest.mark.parametrize("kind", [500, "mute"])
def test_a_first_deployment_that_was_stopped_anywhere_is_completed_by_the_next(kfp, command, kind):
    """Connecting, creating the pipeline, uploading the version, creating experiment and schedule: nothing comes twice."""
    failing = 0
    while True:
        failing += 1
        start = len(kfp.requests)
        kfp.fault = lambda number, request: kind if number == start + failing else None  # noqa: B023
        first = command(*MONDAYS)
        kfp.fault = lambda number, request: None
        if first.code == 0:
            break
        assert first.code == 2 and first.err.startswith("error: ") and first.err.count("\n") == 1
        assert command(*MONDAYS).code == 0
        assert [len(shelf) for shelf in (kfp.pipelines, kfp.versions, kfp.experiments, kfp.schedules)] == [1, 1, 1, 1]
        assert kfp.enabled() == ["kdflow"]
        for shelf in (kfp.pipelines, kfp.versions, kfp.experiments, kfp.schedules):
            shelf.clear()
    assert failing > 8


@pytest.mark.slow
@pytest.mark.parametrize("request_", ["POST", ":disable", ":enable", "DELETE"])
@pytest.mark.parametrize("after", [False, True], ids=["before it is done", "after it is done"])
def test_a_killed_deployment_is_seen_and_completed(kfp, command, package, request_, after):
    """SIGKILL while the server has the request that creates, disables, enables or deletes."""
    command(*MONDAYS)
    line = (sys.executable, "-m", "pipeline", *FRIDAYS, "--package", package, "--image", IMAGE)
    kfp.moments.clear()

    def kill(number, request):
        if "recurring" in request and (request.startswith(request_) or request.endswith(request_)):
            process.kill()
            process.wait()
            return "mute" if after else "cut"

    process = subprocess.Popen(line, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
    kfp.fault = kill
    assert process.wait() == -signal.SIGKILL
    with kfp.busy:
        kfp.fault = lambda number, request: None
    assert ("'kdflow' is listed 2 times" in command("schedules").out) == (len(kfp.schedules) == 2)
    assert command(*FRIDAYS).code == 0
    assert the_one(kfp)["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 5" and kfp.enabled() == ["kdflow"]
    assert all(exist >= 1 and enabled <= 1 for exist, enabled in kfp.moments)


def test_of_several_equal_schedules_the_newest_stays(kfp, command):
    command(*MONDAYS)
    copies = [kfp.new(kfp.schedules, "recurring_run_id", the_first) for the_first in list(kfp.schedules.values()) * 3]
    assert len(kfp.enabled()) == 4
    assert command(*MONDAYS).code == 0
    assert the_one(kfp) == copies[-1] and kfp.enabled() == ["kdflow"]


def test_a_name_of_another_pipeline_is_refused(kfp, command):
    command(*MONDAYS)
    the_one(kfp)["pipeline_version_reference"]["pipeline_id"] = "other"
    refused = command(*FRIDAYS)
    assert refused.code == 2 and "another pipeline has a schedule 'kdflow'" in refused.err
    assert the_one(kfp)["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"


def test_a_wrong_expression_asks_no_server(kfp, command):
    wrong = command("schedule", "--cron", "0 25 * * *")
    assert wrong.code == 2 and wrong.err.startswith("error: --cron: hour: '25' is invalid") and kfp.requests == []
