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


def attempts_of(step, *states):
    """The tasks of a step that ran once for each state, named as KFP and Argo name them: children by node ids, tasks by pods."""
    name = step.replace("_", "-")

    def task(display_name, key, state, children, **more):
        return {
            "display_name": display_name, "pod_name": f"kdflow-x-{display_name.partition('(')[0]}-{key}", "state": state, **more,
            "child_tasks": [{"pod_name": f"kdflow-x-{child}"} for child in children],
        }  # fmt: skip

    keys = [f"{name}{number}".replace("-", "") for number in range(len(states))]
    pods = [
        task(f"executor({number})", key, state, (), start_time=f"2026-11-23T03:0{number}:00Z", end_time="2026-11-23T04:00:00Z")
        for number, (key, state) in enumerate(zip(keys, states, strict=True))
    ]
    outer = [
        task(name, f"{name}A".replace("-", ""), states[-1], [f"{name}B".replace("-", "")], **DONE),
        task(f"{name}(0)", f"{name}B".replace("-", ""), states[-1], [f"{name}C".replace("-", "")], **DONE),
        task("executor", f"{name}C".replace("-", ""), states[-1], keys, **DONE),
    ]
    return [*outer, *reversed(pods)]
