import re

from pipeline import submit
from tests.pipeline.runs import GOOD


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
