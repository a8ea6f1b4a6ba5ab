"""Track each step as an MLflow run, nested under one parent run per execution.

Records are written in the background: a slow or broken store neither delays nor fails the step. A run that was started by
somebody else (`MLFLOW_RUN_ID`) is used, but not ended.
"""

import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from components.params.models import Params
from components.runtime.dead_runs import HEARTBEAT
from components.runtime.execution import current_execution
from components.runtime.recorder import BackgroundRecorder
from components.runtime.store import import_mlflow, sqlite_file, tracking_uri
from components.runtime.stored_run import StoredRun
from components.runtime.termination import on_sigterm
from components.runtime.text import mask_passwords
from components.runtime.unsent import (
    UnsentCall,
    UnsentRun,
    copy_artifact,
    is_refused,
    save_unsent,
    send_unsent,
    store_digest,
    unsent_folder,
)

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
    """The MLflow run of a step. Its methods never raise or block for long. What the store does not take is sent by the next step."""

    def __init__(self, step: str, params: Params) -> None:
        self._recorder = BackgroundRecorder()
        self._stored: StoredRun | None = None
        self._step, self._started, self._timeout = step, _now(), TIMEOUT
        self._unsent: list[UnsentCall] = []
        self._folder = unsent_folder().resolve() / f"{self._started}-{uuid.uuid4().hex[:8]}"
        self._recorder.submit(self._start)
        self._submit("log_params", {name: str(value) for name, value in params.flat().items()})
        if not self._recorder.flush(TIMEOUT if sqlite_file() else START_TIMEOUT):
            self._recorder.warn(f"{mask_passwords(tracking_uri())} does not answer")
        self._recorder.submit(lambda: send_unsent(self._stored.client) if self._stored else None)
        self._ended = threading.Event()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

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
        self._submit("log_metrics", {name: float(value) for name, value in values.items()}, _now(), step or 0)

    def log_dataset(self, name: str, source: str, digest: str, context: str, **tags: str) -> None:
        """Log an input data set: its path or URL, the SHA-256 of its content, and its use (`context`, such as "training")."""
        self._submit("log_dataset", name, mask_passwords(source), digest, context, tags)

    def log_artifact(self, path: Path) -> None:
        """Upload a file or folder. Returns when it is uploaded or copied, because the step may move it afterwards."""
        call = self._submit("log_artifact", str(path))
        self._flush()
        if call in self._unsent:
            with suppress(OSError):
                call.arguments[0] = str(copy_artifact(path, self._folder))

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag of the run."""
        self._submit("set_tag", name, value)

    def _start(self) -> None:
        self._stored = StoredRun.open_run(self._step)

    def _kill(self) -> None:
        """Set the status to KILLED at once, ahead of the records that wait. If it fails, the next attempt of the step does it."""
        if self._stored:
            with suppress(Exception):
                self._stored.kill()

    def _beat(self) -> None:
        """Record every minute that the process is alive, unless the store is behind."""
        while not self._ended.wait(HEARTBEAT):
            if self._recorder.flush(HEARTBEAT):
                self._recorder.submit(lambda: self._stored.record_heartbeat() if self._stored else None)

    def _submit(self, method: str, *arguments: Any) -> UnsentCall:
        """Queue a call of a method of `StoredRun`."""
        call = UnsentCall(method, list(arguments))
        self._unsent.append(call)
        self._recorder.submit(lambda: self._send(call))
        return call

    def _send(self, call: UnsentCall) -> None:
        if not self._stored:
            return
        try:
            getattr(self._stored, call.method)(*call.arguments)
        except Exception as error:
            if is_refused(error):
                self._unsent.remove(call)
            raise
        self._unsent.remove(call)

    def _flush(self) -> None:
        if self._stored and not self._recorder.flush(self._timeout):
            self._recorder.warn(f"{mask_passwords(tracking_uri())} has stopped answering and may lack the last records")
            self._timeout = min(self._timeout, START_TIMEOUT)

    def _end(self, status: str) -> None:
        self._ended.set()
        self._submit("end", status, _now())
        self._flush()
        self._recorder.close()
        if self._unsent:
            self._save_unsent()
        else:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _save_unsent(self) -> None:
        """Keep what the store did not take."""
        theirs, execution = os.environ.get("MLFLOW_RUN_ID"), current_execution()
        run = UnsentRun(
            store_digest(), self._step, (execution.id, execution.name), self._started, self.id or theirs, not theirs, list(self._unsent)
        )
        with suppress(OSError):  # a full disk must not fail the step
            save_unsent(self._folder, run)


class NullRun(Run):
    """A run that records nothing, for the processes of a distributed training other than the main one."""

    def __init__(self) -> None:
        self._recorder, self._stored, self._unsent = BackgroundRecorder(), None, []

    def _submit(self, method: str, *arguments: Any) -> UnsentCall:
        """Record nothing."""
        return UnsentCall(method, list(arguments))


def _now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
