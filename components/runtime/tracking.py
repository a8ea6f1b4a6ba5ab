"""Track each step as an MLflow run, nested under one parent run per execution.

Records are written in the background: a slow or broken store neither delays nor fails the step. A run that was started by
somebody else (`MLFLOW_RUN_ID`) is used, but not ended.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from components.params.models import Params
from components.runtime.dead_runs import HEARTBEAT
from components.runtime.recorder import BackgroundRecorder
from components.runtime.store import import_mlflow, sqlite_file, tracking_uri
from components.runtime.stored_run import StoredRun
from components.runtime.termination import on_sigterm
from components.runtime.text import mask_passwords

START_TIMEOUT = 8.0  # seconds for the first answer of a server
TIMEOUT = 60.0  # seconds for an upload, for the last records, or to create a sqlite store on a busy machine


@contextmanager
def step_run(step: str, params: Params) -> Iterator["Run"]:
    """Track a step: start a run, yield it, and end it as FINISHED, FAILED or KILLED.

    Exceptions of the step are raised unchanged. Errors of the store are printed to stderr.
    """
    import_mlflow()
    run = Run(step, params)
    status = "FAILED"
    try:
        with on_sigterm(run._kill):
            yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run._end(status)


class Run:
    """The MLflow run of a step. Its methods never raise or block for long; if the store is not available, they do nothing."""

    def __init__(self, step: str, params: Params) -> None:
        self._recorder = BackgroundRecorder()
        self._stored: StoredRun | None = None
        self._timeout = TIMEOUT
        self._recorder.submit(lambda: self._start(step))
        self._submit(lambda stored: stored.log_params(params))
        self._ended = threading.Event()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        if not self._recorder.flush(TIMEOUT if sqlite_file() else START_TIMEOUT):
            self._recorder.warn(f"{mask_passwords(tracking_uri())} does not answer")

    @property
    def id(self) -> str | None:
        """MLflow's run id; None until the store has answered."""
        return self._stored.run_id if self._stored else None

    @property
    def last_error(self) -> str:
        """The last error of the store; "" if there was none."""
        return self._recorder.last_error

    def log_metrics(self, values: dict[str, float], step: int | None = None) -> None:
        """Log metrics; `step` is the epoch if they are points of a curve."""
        now = int(time.time() * 1000)
        self._submit(lambda stored: stored.log_metrics(values, now, step or 0))

    def log_dataset(self, name: str, source: str, digest: str, context: str, **tags: str) -> None:
        """Log an input data set: its path or URL, the SHA-256 of its content, and its use (`context`, such as "training")."""
        self._submit(lambda stored: stored.log_dataset(name, mask_passwords(source), digest, context, tags))

    def log_artifact(self, path: Path) -> None:
        """Upload a file or folder. Returns when it is uploaded, because the step may move it afterwards."""
        self._submit(lambda stored: stored.client.log_artifact(stored.run_id, str(path)))
        self._flush()

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag of the run."""
        self._submit(lambda stored: stored.client.set_tag(stored.run_id, name, value))

    def _start(self, step: str) -> None:
        self._stored = StoredRun(step)

    def _kill(self) -> None:
        """Set the status to KILLED at once, ahead of the records that wait. If it fails, the next attempt of the step does it."""
        if self._stored:
            with suppress(Exception):
                self._stored.kill()

    def _beat(self) -> None:
        """Record every minute that the process is alive, unless the store is behind."""
        while not self._ended.wait(HEARTBEAT):
            if self._recorder.flush(HEARTBEAT):
                self._submit(lambda stored: stored.beat())

    def _submit(self, task: Callable[[StoredRun], object]) -> None:
        self._recorder.submit(lambda: task(self._stored) if self._stored else None)

    def _flush(self) -> None:
        if self._stored and not self._recorder.flush(self._timeout):
            self._recorder.warn(f"{mask_passwords(tracking_uri())} has stopped answering and may lack the last records")
            self._timeout = min(self._timeout, START_TIMEOUT)

    def _end(self, status: str) -> None:
        self._ended.set()
        self._submit(lambda stored: stored.end(status))
        self._flush()
        self._recorder.close()


class NullRun(Run):
    """A run that records nothing, for the processes of a distributed training other than the main one."""

    def __init__(self) -> None:
        self._recorder, self._stored, self._timeout = BackgroundRecorder(), None, 0.0
