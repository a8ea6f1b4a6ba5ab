"""Which execution a step belongs to: one `dvc repro`, one pipeline run, or a command by hand.

An execution is one parent run in MLflow, and its steps are nested under it.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG = "kdflow.execution"


@dataclass(frozen=True)
class Execution:
    """What makes an execution itself, and what a person calls it."""

    identity: str
    name: str


def current_execution() -> Execution:
    """The execution of this process: `KDFLOW_EXECUTION`, else the `dvc` that started it, else this very process."""
    if identity := os.environ.get("KDFLOW_EXECUTION"):
        return Execution(identity, identity)
    if dvc := _dvc():
        return Execution(_identity(dvc), os.environ.get("DVC_EXP_NAME") or "dvc repro")
    return Execution(_identity(psutil.Process()), "by hand")


def git_tags() -> dict[str, str]:
    """Tags that name the code: its commit, and whether tracked files differ from it; none outside a git repository.

    An image holds no repository, so `KDFLOW_GIT_COMMIT`, set when it is built, comes first.
    """
    if commit := os.environ.get("KDFLOW_GIT_COMMIT"):
        return {"kdflow.git_commit": commit}
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    # dvc.lock is the record of the results: `dvc repro` itself rewrites it between two steps
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)dvc.lock")
    return {"kdflow.git_commit": commit, "kdflow.git_dirty": str(bool(changes)).lower()}


def open_parent(client: "MlflowClient", experiment_id: str, execution: Execution) -> str:
    """Find the parent run of `execution`, or create it; it is running again. Returns its run id."""
    found = _runs(client, experiment_id, TAG, execution.identity)
    if found:
        client.update_run(found[0].info.run_id, status="RUNNING")
        return str(found[0].info.run_id)
    tags = {TAG: execution.identity, **git_tags()}
    if commit := tags.get("kdflow.git_commit"):
        tags["mlflow.source.git.commit"] = commit
    return str(client.create_run(experiment_id, run_name=execution.name, tags=tags).info.run_id)


def close_parent(client: "MlflowClient", experiment_id: str, parent_id: str) -> None:
    """Give the parent the worst status of its steps; of a step that was tried again, the last try counts."""
    children = _runs(client, experiment_id, "mlflow.parentRunId", parent_id)
    statuses = {child.info.run_name: child.info.status for child in children}.values()
    worst = next((status for status in ("FAILED", "KILLED", "RUNNING") if status in statuses), "FINISHED")
    if worst != "RUNNING":
        client.set_terminated(parent_id, worst)


def _runs(client: "MlflowClient", experiment_id: str, tag: str, value: str) -> list["Run"]:
    """The runs with this tag, oldest first."""
    return list(client.search_runs([experiment_id], f"tags.`{tag}` = '{value}'", order_by=["attributes.start_time ASC"]))


def _dvc() -> psutil.Process | None:
    """The nearest ancestor that is a `dvc` command, if DVC started this process as a stage."""
    if "DVC_STAGE" not in os.environ:
        return None
    return next((process for process in psutil.Process().parents() if _is_dvc(process)), None)


def _is_dvc(process: psutil.Process) -> bool:
    try:
        start = process.cmdline()[:3]  # "dvc repro", "python .../dvc repro" or "python -m dvc repro"
    except psutil.Error:
        return False
    return any(Path(word).stem == "dvc" for word in start)


def _identity(process: psutil.Process) -> str:
    return f"{process.pid}-{process.create_time():.2f}"  # the system gives a process id out again, but not at the same time


def _git(*arguments: str) -> str:
    try:
        answer = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
