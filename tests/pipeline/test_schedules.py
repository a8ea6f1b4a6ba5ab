import re

import pytest

from pipeline import control


def test_schedules_are_listed_with_their_last_run(kfp, command):
    assert command("schedules").out == "there are no schedules\n"
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


@pytest.mark.parametrize("now", [True, False])
def test_unschedule_stops_the_runs_of_the_schedule_only_with_now(kfp, command, monkeypatch, now):
    monkeypatch.setattr(control, "PAUSE", 0)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    command("schedule", "--cron", "@daily")
    (schedule,) = kfp.schedules
    for state, recurring_run_id in (("SUCCEEDED", schedule), ("RUNNING", None), ("RUNNING", schedule)):
        command("submit")
        list(kfp.runs.values())[-1].update(state=state, recurring_run_id=recurring_run_id)
    done = command("unschedule", "kdflow", *["--now"] * now)
    assert done.code == 0 and kfp.schedules == {}, done.err
    last = list(kfp.runs.values())[-1]
    assert (f"run {last['run_id']} stopped\n" in done.out) == now
    assert [run["state"] for run in kfp.runs.values()] == ["SUCCEEDED", "RUNNING", "FAILED" if now else "RUNNING"]


def test_unschedule_what_is_not_there(kfp, command):
    assert "is not scheduled" in command("unschedule", "nothing").err
    command("schedule", "--cron", "@daily")
    assert command("unschedule", "nothing").code == 2 and len(kfp.schedules) == 1
    assert command("unschedule", "kdflow").code == 0 and kfp.schedules == {}
