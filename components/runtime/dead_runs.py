"""Find the runs whose process died before it could set their status, such as by SIGKILL, and close them as FAILED.

A run has tags for the host and the process of its step, and for when the process was last known to be alive. A process of this host
can be looked up; one of another host counts as dead after `MAX_SILENCE` without a heartbeat.
"""

import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from components.runtime.execution import close_parent

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

HOST_TAG, PROCESS_TAG, HEARTBEAT_TAG = "kdflow.host", "kdflow.process", "kdflow.heartbeat"
HEARTBEAT = 60.0
"""Seconds between two heartbeats."""
MAX_SILENCE = 600.0
"""Seconds."""
START_TOLERANCE = 5.0
"""Seconds by which the start of a process may seem to move, because Linux derives it from a clock that is corrected."""


def process_tags() -> dict[str, str]:
    """Tags for the host, process and heartbeat of a run of this process."""
    process = psutil.Process()
    return {HOST_TAG: current_host(), PROCESS_TAG: f"{process.pid} {process.create_time():.2f}", HEARTBEAT_TAG: f"{time.time():.0f}"}


def current_host() -> str:
    """The name of this host, and its namespace of process ids, because containers may have the same name."""
    with suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def close_dead_runs(client: "MlflowClient", experiment_id: str) -> None:
    """Set the status of unfinished runs whose process is dead to FAILED, and update their parent runs."""
    running = client.search_runs([experiment_id], f"attributes.status = 'RUNNING' and tags.`{PROCESS_TAG}` != ''")
    dead = [run for run in running if not _is_alive(run)]
    for run in dead:
        client.set_terminated(run.info.run_id, "FAILED")
    for parent_id in {run.data.tags["mlflow.parentRunId"] for run in dead if "mlflow.parentRunId" in run.data.tags}:
        close_parent(client, experiment_id, parent_id)


def _is_alive(run: "Run") -> bool:
    tags = run.data.tags
    try:
        if tags.get(HOST_TAG) != current_host():
            return time.time() - float(tags[HEARTBEAT_TAG]) < MAX_SILENCE
        pid, started = tags[PROCESS_TAG].split()
        return abs(float(psutil.Process(int(pid)).create_time()) - float(started)) < START_TOLERANCE
    except psutil.NoSuchProcess:
        return False
    except (KeyError, ValueError):  # tags that somebody changed
        return True
