"""Each step is one MLflow run, nested under one parent run per execution.

The records travel by courier: the step neither waits for the store nor fails with it. A step ends no run that it did not start.
"""

import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.params.models import Params
from components.runtime.execution import close_parent, current_execution, open_parent
from components.runtime.recorder import BackgroundRecorder, mask_passwords

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

START_PATIENCE = 8.0  # seconds for a server to answer
PATIENCE = 60.0  # seconds for an upload, for the last records, or for a new sqlite store on a busy machine
PREFIX = "kdflow."  # keeps our parameters apart from others' in a run that we share: MLflow rejects a second value for a name
BATCH = 100  # parameters that MLflow takes at once
DIGEST_LENGTH = 36  # characters that MLflow keeps of a data set's digest

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def tracking_uri() -> str:
    """Where runs and models are kept: `MLFLOW_TRACKING_URI`, else sqlite in the working folder."""
    # the whole path, because MLflow keeps one open store per address and folders differ
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').resolve()}"


def sqlite_file() -> Path | None:
    """The sqlite file of `tracking_uri()`; None if that is something else."""
    kind, _, file = tracking_uri().partition(":///")
    return Path(file.partition("?")[0]) if kind == "sqlite" else None


def import_mlflow() -> None:
    """Import MLflow without its reports home and its chatter: what matters it raises."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401 - here, because it takes seconds that `--help` and a wrong parameter should not cost

    logging.getLogger("mlflow").setLevel(os.environ.get("MLFLOW_LOGGING_LEVEL", "CRITICAL"))


@contextmanager
def step_run(step: str, params: Params) -> Iterator["Run"]:
    """Track a step: start its run, yield it, and end it as FINISHED, FAILED or KILLED.

    The step's own exceptions pass through unchanged; the store's become lines on stderr.
    """
    import_mlflow()
    run = Run(step, params)
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run._end(status)


class Run:
    """The MLflow run of a step. No method raises or blocks the step for long; without a store they do nothing."""

    def __init__(self, step: str, params: Params) -> None:
        self._courier = BackgroundRecorder()
        self._session: _Session | None = None
        self._patience = PATIENCE
        self._courier.send(lambda: self._start(step))
        self._send(lambda session: session.params(params))
        if not self._courier.wait(PATIENCE if sqlite_file() else START_PATIENCE):
            self._courier.warn(f"{mask_passwords(tracking_uri())} does not answer")

    @property
    def id(self) -> str | None:
        """MLflow's run id; None while the store has not answered."""
        return self._session.run_id if self._session else None

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        """Record numbers, as of `step` (an epoch, for a curve)."""
        now = int(time.time() * 1000)
        self._send(lambda session: session.metrics(values, now, step or 0))

    def dataset(self, name: str, source: str, digest: str, context: str, **known: str) -> None:
        """Record data that went in: where they are, their SHA-256, what they were for ("training"), and what else is known of them."""
        self._send(lambda session: session.dataset(name, mask_passwords(source), digest, context, known))

    def artifact(self, path: Path) -> None:
        """Keep a copy of a file or folder."""
        self._send(lambda session: session.artifact(path))
        self._wait()  # the step may move the file as soon as this returns

    def tag(self, name: str, value: str) -> None:
        """Name a fact of the run."""
        self._send(lambda session: session.client.set_tag(session.run_id, name, value))

    def _start(self, step: str) -> None:
        self._session = _Session(step)

    def _send(self, errand: Callable[["_Session"], object]) -> None:
        self._courier.send(lambda: errand(self._session) if self._session else None)

    def _wait(self) -> None:
        if self._session and not self._courier.wait(self._patience):
            self._courier.warn(f"{mask_passwords(tracking_uri())} has stopped answering and may lack the last records")
            self._patience = min(self._patience, START_PATIENCE)

    def _end(self, status: str) -> None:
        self._send(lambda session: session.end(status))
        self._wait()
        self._courier.dismiss()


class NullRun(Run):
    """A run that keeps nothing, for the processes of a training that do not lead."""

    def __init__(self) -> None:
        self._courier, self._session, self._patience = BackgroundRecorder(), None, 0.0


class _Session:
    """The conversation with the store about one run. It waits and raises; only the courier calls it."""

    def __init__(self, step: str) -> None:
        from mlflow import MlflowClient

        if (file := sqlite_file()) and file.parent.is_dir():
            sqlite3.connect(file).close()  # fails at once where MLflow would try again for minutes
        self.client = MlflowClient(tracking_uri())
        self._parent: tuple[str, str] | None = None
        self.run_id = os.environ.get("MLFLOW_RUN_ID") or self._open(step)
        self.client.set_tag(self.run_id, "kdflow.step", step)
        self._monitor = _watch_machine(self.run_id)

    def _open(self, step: str) -> str:
        """Start the step's run under its parent."""
        experiment = _experiment(self.client)
        parent = open_parent(self.client, experiment, current_execution())
        self._parent = (experiment, parent)
        run = self.client.create_run(experiment, run_name=step, tags={"mlflow.parentRunId": parent})
        return str(run.info.run_id)

    def end(self, status: str) -> None:
        """End the run and settle its parent, unless the run was started by somebody else."""
        self._monitor.finish()
        if self._parent:
            self.client.set_terminated(self.run_id, status)
            close_parent(self.client, *self._parent)

    def params(self, params: Params) -> None:
        """Record every parameter under its dotted name."""
        from mlflow.entities import Param

        entries = [Param(name, value) for name, value in _flat(params.model_dump(mode="json"), PREFIX)]
        for start in range(0, len(entries), BATCH):
            self.client.log_batch(self.run_id, params=entries[start : start + BATCH])

    def metrics(self, values: dict[str, float], time_ms: int, step: int) -> None:
        """Record numbers."""
        from mlflow.entities import Metric

        self.client.log_batch(self.run_id, metrics=[Metric(name, float(value), time_ms, step) for name, value in values.items()])

    def dataset(self, name: str, source: str, digest: str, context: str, known: dict[str, str]) -> None:
        """Record a data set, and its full digest in a tag."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = Dataset(name=name, digest=digest[:DIGEST_LENGTH], source_type="local", source=json.dumps({"uri": source}))
        tags = {"mlflow.data.context": context} | {f"{PREFIX}{key}": value for key, value in known.items()}
        inputs = DatasetInput(data, [InputTag(key, value) for key, value in tags.items()])
        self.client.log_inputs(self.run_id, datasets=[inputs])
        self.client.set_tag(self.run_id, f"{PREFIX}digest.{name}", digest)

    def artifact(self, path: Path) -> None:
        """Upload a file or folder."""
        self.client.log_artifact(self.run_id, str(path))


def _experiment(client: "MlflowClient") -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "kdflow"
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def _watch_machine(run_id: str) -> "SystemMetricsMonitor":
    """Record the load of processor, memory, disk, network and GPU every ten seconds (or as MLflow's variables say)."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=tracking_uri())
    monitor.start()
    return monitor


def _flat(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)[:500]
