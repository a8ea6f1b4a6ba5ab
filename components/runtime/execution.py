"""The execution that a step belongs to: one `dvc repro`, one pipeline run, or one command run by hand.

In MLflow an execution is a parent run, with the runs of its steps nested under it.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from components.runtime.text import quote_filter

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXECUTION_TAG = "kdflow.execution"


@dataclass(frozen=True)
class Execution:
    """A unique id, and the name of the parent run in MLflow."""

    id: str
    name: str


def current_execution() -> Execution:
    """The execution of this process: `KDFLOW_EXECUTION` if set, else the `dvc` process that started it, else this process."""
    if execution_id := os.environ.get("KDFLOW_EXECUTION"):
        return Execution(execution_id, execution_id)
    if dvc := _find_dvc():
        return Execution(_unique_id(dvc), os.environ.get("DVC_EXP_NAME") or "dvc repro")
    return Execution(_unique_id(psutil.Process()), "by hand")


def is_main_process() -> bool:
    """Whether this is the first of the processes that `torchrun` has started, or the only process."""
    return int(os.environ.get("RANK", 0)) == 0


def git_tags() -> dict[str, str]:
    """Tags for the version of the code: the commit, and whether tracked files have changes. Empty outside a git repository.

    In an image, which contains no repository, the commit is `KDFLOW_GIT_COMMIT`, set by the build.
    """
    if commit := os.environ.get("KDFLOW_GIT_COMMIT"):
        return {"kdflow.git_commit": commit}
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    # `dvc repro` rewrites dvc.lock after each step
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)dvc.lock")
    return {"kdflow.git_commit": commit, "kdflow.git_dirty": str(bool(changes)).lower()}


def open_parent(client: "MlflowClient", experiment_id: str, execution: Execution) -> str:
    """Find the parent run of `execution` or create it, and set its status to RUNNING. Returns its run id."""
    found = _search_runs(client, experiment_id, EXECUTION_TAG, execution.id)
    if found:
        client.update_run(found[0].info.run_id, status="RUNNING")
        return str(found[0].info.run_id)
    tags = {EXECUTION_TAG: execution.id, **git_tags()}
    if commit := tags.get("kdflow.git_commit"):
        tags["mlflow.source.git.commit"] = commit
    return str(client.create_run(experiment_id, run_name=execution.name, tags=tags).info.run_id)


def close_parent(client: "MlflowClient", experiment_id: str, parent_id: str) -> None:
    """Set the parent's status to the worst status of its steps. If a step ran several times, its last run counts."""
    children = _search_runs(client, experiment_id, "mlflow.parentRunId", parent_id)
    statuses = {child.info.run_name: child.info.status for child in children}.values()
    worst = next((status for status in ("FAILED", "KILLED", "RUNNING") if status in statuses), "FINISHED")
    if worst != "RUNNING":
        client.set_terminated(parent_id, worst)


def close_children(client: "MlflowClient", experiment_id: str, parent_id: str, step: str) -> None:
    """Set the runs of `step` that are still RUNNING to KILLED: their processes have ended without setting a status."""
    children = _search_runs(client, experiment_id, "mlflow.parentRunId", parent_id)
    _kill(client, [child for child in children if child.info.run_name == step])


def close_execution(client: "MlflowClient", experiment_id: str, execution_id: str) -> int:
    """Set all runs of an execution that are still RUNNING to KILLED, after its processes have ended. Returns their number."""
    parents = _search_runs(client, experiment_id, EXECUTION_TAG, execution_id)
    children = [run for parent in parents for run in _search_runs(client, experiment_id, "mlflow.parentRunId", parent.info.run_id)]
    return _kill(client, children + parents)


def _kill(client: "MlflowClient", runs: list["Run"]) -> int:
    running = [run.info.run_id for run in runs if run.info.status == "RUNNING"]
    for run_id in running:
        client.set_terminated(run_id, "KILLED")
    return len(running)


def _search_runs(client: "MlflowClient", experiment_id: str, tag: str, value: str) -> list["Run"]:
    """The runs with this tag, oldest first."""
    return list(client.search_runs([experiment_id], f"tags.`{tag}` = {quote_filter(value)}", order_by=["attributes.start_time ASC"]))


def _find_dvc() -> psutil.Process | None:
    """The nearest parent process that is a `dvc` command, if this process is a DVC stage."""
    if "DVC_STAGE" not in os.environ:
        return None
    return next((process for process in psutil.Process().parents() if _is_dvc(process)), None)


def _is_dvc(process: psutil.Process) -> bool:
    try:
        start = process.cmdline()[:3]  # "dvc repro", "python .../dvc repro" or "python -m dvc repro"
    except psutil.Error:
        return False
    return any(Path(word).stem == "dvc" for word in start)


def _unique_id(process: psutil.Process) -> str:
    return f"{process.pid}-{process.create_time():.2f}"  # process ids are reused


def _git(*arguments: str) -> str:
    try:
        completed = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return completed.stdout.strip()
