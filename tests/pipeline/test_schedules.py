import re


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


def test_unschedule_what_is_not_there(kfp, command):
    assert "is not scheduled" in command("unschedule", "nothing").err
    command("schedule", "--cron", "@daily")
    assert command("unschedule", "nothing").code == 2 and len(kfp.schedules) == 1
    assert command("unschedule", "kdflow").code == 0 and kfp.schedules == {}
