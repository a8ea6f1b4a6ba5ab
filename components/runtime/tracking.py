"""Track each step as an MLflow run, nested under one parent run per execution.

Records are written in the background: a slow or broken store neither delays nor fails the step. A run that was started by
somebody else (`MLFLOW_RUN_ID`) is used, but not ended.
"""

import json
import logging
import os
import posixpath
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from components.params.models import Params
from components.runtime.execution import close_children, close_parent, current_execution, open_parent
from components.runtime.recorder import BackgroundRecorder
from components.runtime.termination import on_sigterm
from components.runtime.text import mask_passwords
from kd.threads import thread_count

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

START_TIMEOUT = 8.0  # seconds for the first answer of a server
TIMEOUT = 60.0  # seconds for an upload, for the last records, or to create a sqlite store on a busy machine
PREFIX = "kdflow."  # of parameters and tags: in a run that others use too, MLflow rejects a second value for a parameter
MAX_BATCH_PARAMS = 100  # MLflow's limit for one request
MAX_KEY_LENGTH = 250  # MLflow's limit for the key of a tag
MAX_DIGEST_LENGTH = 36  # MLflow's limit for the digest of a data set
KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"  # MLflow's page opens on the runs, not on GenAI traces

_QUIET_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}

_REQUEST_LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "15", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}


def project_folder() -> Path:
    """The working folder; if `dvc exp run --temp` runs in a copy of the project, the corresponding folder of the project."""
    here, root = Path.cwd(), os.environ.get("DVC_ROOT")
    copies = Path(root, ".dvc/tmp/exps").resolve() if root else None
    return Path(root or "", *here.relative_to(copies).parts[1:]) if copies and here.is_relative_to(copies) else here


def tracking_uri() -> str:
    """The store of runs and models: `MLFLOW_TRACKING_URI` if set, else mlflow.db. Relative paths of sqlite are in the project."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    kind, separator, file = uri.partition(":///")
    if kind != "sqlite" or not separator or file.startswith("/"):
        return uri
    # an absolute path, because MLflow caches stores by URI and the working folder may change
    return f"sqlite:///{str(project_folder() / file).replace('%', '%25')}"


def sqlite_file() -> Path | None:
    """The file of `tracking_uri()` if it is a sqlite store, else None."""
    kind, _, file = tracking_uri().partition(":///")
    return Path(unquote(file.partition("?")[0])) if kind == "sqlite" else None


def experiment_name() -> str:
    """The experiment of the runs: `MLFLOW_EXPERIMENT_NAME` if set, else "kdflow"."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "kdflow"


def import_mlflow() -> None:
    """Import MLflow with telemetry, progress bars and log messages turned off; errors are still raised."""
    for name, value in _QUIET_SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401 - takes seconds, which `--help` and a wrong parameter should not cost

    logging.getLogger("mlflow").setLevel(os.environ.get("MLFLOW_LOGGING_LEVEL", "CRITICAL"))


def limit_requests() -> None:
    """Let a request to a server fail after about a minute, for commands that somebody waits for. MLflow's own limit is 18 minutes."""
    for name, value in _REQUEST_LIMITS.items():
        os.environ.setdefault(name, value)


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
        self._stored: _StoredRun | None = None
        self._timeout = TIMEOUT
        self._recorder.submit(lambda: self._start(step))
        self._submit(lambda stored: stored.log_params(params))
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
        self._stored = _StoredRun(step)

    def _kill(self) -> None:
        """Set the status to KILLED at once, ahead of the records that wait. If it fails, the next attempt of the step does it."""
        if self._stored:
            with suppress(Exception):
                self._stored.kill()

    def _submit(self, task: Callable[["_StoredRun"], object]) -> None:
        self._recorder.submit(lambda: task(self._stored) if self._stored else None)

    def _flush(self) -> None:
        if self._stored and not self._recorder.flush(self._timeout):
            self._recorder.warn(f"{mask_passwords(tracking_uri())} has stopped answering and may lack the last records")
            self._timeout = min(self._timeout, START_TIMEOUT)

    def _end(self, status: str) -> None:
        self._submit(lambda stored: stored.end(status))
        self._flush()
        self._recorder.close()


class NullRun(Run):
    """A run that records nothing, for the processes of a distributed training other than the main one."""

    def __init__(self) -> None:
        self._recorder, self._stored, self._timeout = BackgroundRecorder(), None, 0.0


class _StoredRun:
    """A run in MLflow's store. Its methods block and raise; only the recorder's thread calls them."""

    def __init__(self, step: str) -> None:
        self.client = connect_to_mlflow()
        self._parent: tuple[str, str] | None = None
        self.run_id = os.environ.get("MLFLOW_RUN_ID") or self._create(step)
        self.client.set_tag(self.run_id, "kdflow.step", step)
        self.client.set_tag(self.run_id, "kdflow.threads", str(thread_count()))
        self._monitor = _monitor_system(self.run_id)

    def _create(self, step: str) -> str:
        """Create the run of a step under the parent run of its execution. Returns its run id."""
        self._parent = experiment_id, parent_id = open_parent_run(self.client)
        close_children(self.client, experiment_id, parent_id, step)
        run = self.client.create_run(experiment_id, run_name=step, tags={"mlflow.parentRunId": parent_id})
        return str(run.info.run_id)

    def end(self, status: str) -> None:
        """End the run and update its parent, unless somebody else started the run."""
        self._monitor.finish()
        if self._parent:
            self.client.set_terminated(self.run_id, status)
            close_parent(self.client, *self._parent)

    def kill(self) -> None:
        """Set the status to KILLED, unless somebody else started the run."""
        if self._parent:
            self.client.set_terminated(self.run_id, "KILLED")

    def log_params(self, params: Params) -> None:
        """Log every parameter under its dotted name."""
        from mlflow.entities import Param

        entries = [Param(name, value) for name, value in _flatten(params.model_dump(mode="json"), PREFIX)]
        for start in range(0, len(entries), MAX_BATCH_PARAMS):
            self.client.log_batch(self.run_id, params=entries[start : start + MAX_BATCH_PARAMS])

    def log_metrics(self, values: dict[str, float], time_ms: int, step: int) -> None:
        """Log metrics."""
        from mlflow.entities import Metric

        self.client.log_batch(self.run_id, metrics=[Metric(name, float(value), time_ms, step) for name, value in values.items()])

    def log_dataset(self, name: str, source: str, digest: str, context: str, tags: dict[str, str]) -> None:
        """Log an input data set, and its full digest as a tag of the run."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = Dataset(name=name, digest=digest[:MAX_DIGEST_LENGTH], source_type="local", source=json.dumps({"uri": source}))
        all_tags = {"mlflow.data.context": context} | {f"{PREFIX}{key}": value for key, value in tags.items()}
        inputs = DatasetInput(data, [InputTag(key, value) for key, value in all_tags.items()])
        self.client.log_inputs(self.run_id, datasets=[inputs])
        key = posixpath.normpath(re.sub(r"[^\w. /-]", "_", name)).strip("/")  # MLflow refuses other keys
        self.client.set_tag(self.run_id, f"{PREFIX}digest.{key}"[:MAX_KEY_LENGTH], digest)


def connect_to_mlflow() -> "MlflowClient":
    """A client of the store.

    Raises:
        sqlite3.Error: if the store is a file that cannot be opened.
    """
    from mlflow import MlflowClient

    if (file := sqlite_file()) and file.parent.is_dir():
        sqlite3.connect(file).close()  # raises at once if the file cannot be opened; MLflow would retry for minutes
    return MlflowClient(tracking_uri())


def open_parent_run(client: "MlflowClient") -> tuple[str, str]:
    """The experiment's id, and the run id of the parent run of this execution, which is created if it does not exist.

    The first step of a pipeline calls this, so that steps that start at the same time find one parent.
    """
    experiment_id = _get_or_create_experiment(client)
    return experiment_id, open_parent(client, experiment_id, current_execution())


def _get_or_create_experiment(client: "MlflowClient") -> str:
    name = experiment_name()
    experiment = client.get_experiment_by_name(name)
    if not experiment:
        # MLflow's default location is in the working folder, and wrong if the path has a %
        location = (project_folder() / "mlruns" / quote(name, safe="")).as_uri() if sqlite_file() else None
        return str(client.create_experiment(name, location, tags={KIND_TAG: KIND}))
    if KIND_TAG not in experiment.tags:
        with suppress(Exception):  # without permission to change the experiment, the run is still recorded
            client.set_experiment_tag(experiment.experiment_id, KIND_TAG, KIND)
    return str(experiment.experiment_id)


def _monitor_system(run_id: str) -> "SystemMetricsMonitor":
    """Log the load of CPU, memory, disk, network and GPU every ten seconds, or as MLflow's environment variables say."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=tracking_uri())
    monitor.start()
    return monitor


def _flatten(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)[:500]
