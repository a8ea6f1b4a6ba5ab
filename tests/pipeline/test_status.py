import re

from pipeline import submit
from tests.pipeline.runs import DONE, GOOD, at, ended


def test_status_shows_a_run(kfp, command, monkeypatch):
    monkeypatch.setattr(submit, "PAUSE", 0)
    kfp.progress = list(GOOD)
    command("submit", "--wait")
    (run_id,) = kfp.runs
    shown = command("status", run_id)
    assert shown.code == 0 and f"#/runs/details/{run_id}" in shown.out
    assert re.search(r"prepare │ succeeded │  1:02:03", shown.out)
    unknown = command("status", "nothing")
    assert unknown.code == 2 and "answers 404: nothing not found; check the id" in unknown.err


def test_a_run_without_a_specification_has_no_steps(kfp, command):
    run = kfp.new(kfp.runs, "run_id", {"display_name": "by hand", "state": "RUNNING"})
    shown = command("status", run["run_id"])
    assert shown.code == 0 and shown.out.startswith("by hand: running\n")


def test_steps_behind_a_failed_one_were_not_run(kfp, command):
    command("submit")
    (run_id,) = kfp.runs
    omitted = {"start_time": DONE["end_time"], "end_time": DONE["end_time"]}  # KFP gives no state to what Argo omitted
    kfp.runs[run_id] |= at("FAILED", prepare=ended("FAILED"), train=omitted)
    assert re.search(r"train +│ not run +│ +│", command("status", run_id).out)


def test_a_step_that_took_no_time_was_cached(kfp, command):
    command("submit")
    (run_id,) = kfp.runs
    cached = ended() | {"end_time": ended()["start_time"]}
    kfp.runs[run_id] |= at("SUCCEEDED", prepare=cached, train=ended())
    shown = command("status", run_id).out
    assert re.search(r"prepare +│ cached ", shown) and re.search(r"train +│ succeeded ", shown)
