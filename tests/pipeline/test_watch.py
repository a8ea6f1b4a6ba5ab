"""Somebody hears of runs that fail, and of weeks without a run that succeeds."""

import json
import shlex
import sys
from datetime import UTC, datetime, timedelta

import pytest

from pipeline import watch
from tests.pipeline.runs import at, ended, pod_of, running, workflow_of


class Enough(Exception):
    """Ends the loop of `watch`."""


@pytest.fixture
def inbox(tmp_path, monkeypatch):
    """Where the command of --notify appends what it gets: the messages, and the words of the option."""
    file = tmp_path / "inbox"
    file.touch()
    program = f"import sys; open({str(file)!r}, 'a').write(sys.stdin.read())"
    words = ("--notify", shlex.join([sys.executable, "-c", program]))
    return lambda: [json.loads(line) for line in file.read_text().splitlines()], words


@pytest.fixture
def start(kfp, command):
    """Start a run that is then in this state, and has ended `hours` ago."""

    def start_run(change, hours=0.5):
        command("submit")
        *_, run_id = kfp.runs
        when = datetime.now(UTC) - timedelta(hours=hours)
        stamp = f"{when:%Y-%m-%dT%H:%M:%SZ}"
        kfp.runs[run_id] |= {"created_at": stamp, "finished_at": stamp, **change}
        return run_id

    return start_run


FAILED = at("FAILED", prepare=ended(), train=ended("FAILED"))
GOOD = at("SUCCEEDED", prepare=ended(), train=ended())


def test_a_failed_run_is_told_with_step_error_and_link(kfp, command, start, inbox):
    messages, words = inbox
    kfp.workflows = [workflow_of(prepare=["Succeeded"], train=["Failed"])]
    kfp.archive[pod_of("train", 0)] = "epoch 1\nerror: distill.weight: is negative; choose 0 or more\nF1129 launcher.go:1] exit status 1\n"
    run_id = start(FAILED)
    done = command("watch", "--once", *words)
    assert done.code == 1, done.err
    (message,) = messages()
    link = f"{kfp.host}/#/runs/details/{run_id}"
    error = "distill.weight: is negative; choose 0 or more"
    name = kfp.runs[run_id]["display_name"]
    assert message == {"event": "failed", "run": name, "run_id": run_id, "step": "train", "error": error, "link": link}
    assert done.out == f"run {name} failed: train: {error}  {link}\n"


def test_a_step_without_a_word_and_a_stopped_run(kfp, command, start, inbox):
    messages, words = inbox
    start(FAILED)
    start({**FAILED, "state_history": [{"state": state} for state in ("RUNNING", "CANCELING", "FAILED")]})
    start(at("RUNNING", prepare=running()))
    start(GOOD)
    assert command("watch", "--once", *words).code == 1
    (message,) = messages()
    assert message["error"].startswith("ended without an error message")


def test_links_lead_to_the_address_in_the_settings(kfp, command, start, inbox, monkeypatch, settings):
    file = settings(lambda content: content.update(ui="https://kubeflow.example.com/pipeline"))
    monkeypatch.setattr("pipeline.release.load_cluster", lambda **options: watch.load_cluster(file))
    run_id = start(FAILED)
    assert command("watch", "--once").out.endswith(f"  https://kubeflow.example.com/pipeline/#/runs/details/{run_id}\n")


def test_no_good_run_for_days(kfp, command, start, inbox):
    messages, words = inbox
    start(GOOD, hours=30)
    assert command("watch", "--once", "--days", "1.5", *words).code == 0 and messages() == []
    done = command("watch", "--once", "--days", "1", *words)
    (message,) = messages()
    assert done.code == 1 and message["event"] == "overdue" and message["days"] == 1 and message["last"]
    assert "no run has succeeded for 1 days" in done.out
    start(GOOD, hours=2)
    assert command("watch", "--once", "--days", "1", *words).code == 0


def test_runs_of_other_pipelines_and_failures_of_last_week_do_not_count(kfp, command, start, inbox):
    messages, words = inbox
    start(FAILED, hours=170)
    other = start(FAILED)
    kfp.runs[other]["pipeline_version_reference"] = {"pipeline_id": "another", "pipeline_version_id": "one"}
    assert command("watch", "--once", *words).code == 0 and messages() == []
    assert command("watch", "--once", "--hours", "200", *words).code == 1 and len(messages()) == 1


def test_each_event_is_told_once_while_it_watches_and_a_server_that_is_away_does_not_end_it(kfp, command, start, inbox, monkeypatch):
    messages, words = inbox
    first = start(FAILED)
    looks, sleep = [], watch.time.sleep

    def next_look(seconds):
        if seconds != watch.PAUSE:  # subprocess sleeps, too, while it waits for the command of --notify
            return sleep(seconds)
        looks.append(seconds)
        if len(looks) == 2:
            start(FAILED, hours=0.1)
            kfp.fault = lambda number, request: 500
        elif len(looks) == 3:
            kfp.fault = lambda number, request: None
        elif len(looks) == 5:  # it failed again after `retry`
            kfp.runs[first]["finished_at"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        elif len(looks) == 7:
            raise Enough
        return None

    monkeypatch.setattr(watch.time, "sleep", next_look)
    with pytest.raises(Enough):
        command("watch", "--days", "2", *words)
    assert [message["event"] for message in messages()] == ["failed", "overdue", "failed", "failed"]
    ids = [message.get("run_id") for message in messages()]
    assert ids[0] == ids[3] == first and ids[2] not in (None, first)


def test_a_server_that_refuses_ends_it(kfp, command):
    kfp.fault = lambda number, request: 500 if "/runs" in request or "/pipelines" in request else None
    assert command("watch", "--once").code == 2


@pytest.mark.parametrize(
    "option", ["--days=nan", "--days=inf", "--days=0", "--days=1e9", "--hours=nan", "--hours=-1", "--hours=1e12", "--hours=x"]
)
def test_a_time_that_is_none_is_an_error_of_the_option(option, kfp, command):
    done = command("watch", "--once", option)
    assert done.code == 2 and f"error: argument {option.partition('=')[0]}: " in done.err and "Traceback" not in done.err
