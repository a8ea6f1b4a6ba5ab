"""Runs as the server returns them in the course of time: `prepare`, then `train`."""

BEGUN = {"start_time": "2026-11-23T03:00:00Z", "end_time": "1970-01-01T00:00:00Z"}
DONE = {"start_time": "2026-11-23T03:00:00Z", "end_time": "2026-11-23T04:02:03Z"}


def at(state, **tasks):
    """A run in this state, with these tasks."""
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
