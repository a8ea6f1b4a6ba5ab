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


def workflow_of(driver="Succeeded", **steps):
    """Argo's workflow of a run, in nodes as KFP 2.17 and Argo 4.0 make them.

    Args:
        driver: the state of the last step's driver; the others succeeded.
        steps: the states of the attempts of each step.
    """
    nodes = {}

    def node(key, display_name, kind, template, children, **more):
        node_id = f"kdflow-x-{key}"
        nodes[node_id] = {"id": node_id, "displayName": display_name, "type": kind, "templateName": template, "children": children, **more}
        return node_id

    after = []
    for step, states in reversed(steps.items()):
        name, impl, executor = step.replace("_", "-"), "retry-system-container-impl", "retry-system-container-executor"
        pods = [
            node(f"{step}{number}", f"executor({number})", "Pod", impl, [], phase=state, startedAt=f"2026-11-23T03:0{number}:00Z")
            for number, state in enumerate(states)
        ]
        inner = node(f"{step}C", "executor", "Retry" if states else "Skipped", impl, pods[::-1])
        dag = node(f"{step}B", f"{name}(0)", "DAG", executor, [inner, *after])
        retries = node(f"{step}A", name, "Retry", executor, [dag])
        pod = node(f"{step}D", f"{name}-driver(0)", "Pod", "system-container-driver", [retries], phase=driver, startedAt="")
        after, driver = [node(f"{step}E", f"{name}-driver", "Retry", "system-container-driver", [pod])], "Succeeded"
    return {"metadata": {"name": "kdflow-x"}, "status": {"nodes": nodes}}


def pod_of(step, attempt):
    """The pod of an attempt, from 0, in `workflow_of`."""
    return f"kdflow-x-retry-system-container-impl-{step}{attempt}"
