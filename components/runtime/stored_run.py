"""The run of a step in MLflow's store."""

import json
import os
import posixpath
import re
import time
from typing import TYPE_CHECKING

from components.runtime.dead_runs import HEARTBEAT_TAG, close_dead_runs, process_tags
from components.runtime.execution import close_children, close_parent
from components.runtime.store import connect_to_mlflow, open_parent_run, tracking_uri
from kd.threads import thread_count

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

PREFIX = "kdflow."  # of parameters and tags: in a run that others use too, MLflow rejects a second value for a parameter
MAX_BATCH_PARAMS = 100  # MLflow's limit for one request
MAX_VALUE_LENGTH = 500  # MLflow's limit for the value of a parameter
MAX_KEY_LENGTH = 250  # MLflow's limit for the key of a tag
MAX_DIGEST_LENGTH = 36  # MLflow's limit for the digest of a data set


class StoredRun:
    """A run in MLflow's store. Its methods block and raise; only the recorder's thread calls them."""

    def __init__(self, client: "MlflowClient", run_id: str, parent: tuple[str, str] | None) -> None:
        """Use an existing run; `parent` has the ids of its experiment and its parent run, or is None if somebody else started it."""
        self.client, self.run_id, self._parent = client, run_id, parent
        self._monitor: SystemMetricsMonitor | None = None

    @classmethod
    def open_run(cls, step: str) -> "StoredRun":
        """The run of a step: that in `MLFLOW_RUN_ID`, or a new one under the parent run of this execution."""
        client = connect_to_mlflow()
        if run_id := os.environ.get("MLFLOW_RUN_ID"):
            run = cls(client, run_id, None)
        else:
            experiment_id, parent_id = open_parent_run(client)
            close_children(client, experiment_id, parent_id, step)
            close_dead_runs(client, experiment_id)
            run = cls.create_run(client, step, (experiment_id, parent_id), process_tags())
        run.set_tag("kdflow.step", step)
        run.set_tag("kdflow.threads", str(thread_count()))
        run._monitor = _monitor_system(run.run_id)
        return run

    @classmethod
    def create_run(
        cls, client: "MlflowClient", step: str, parent: tuple[str, str], tags: dict[str, str], start_time: int | None = None
    ) -> "StoredRun":
        """A new run named like the step; `start_time` in milliseconds since 1970."""
        run = client.create_run(parent[0], start_time, {"mlflow.parentRunId": parent[1], **tags}, step)
        return cls(client, str(run.info.run_id), parent)

    def record_heartbeat(self) -> None:
        """Record that the process is alive."""
        self.set_tag(HEARTBEAT_TAG, f"{time.time():.0f}")

    def end(self, status: str, end_time: int) -> None:
        """End the run at `end_time` (milliseconds since 1970) and update its parent, unless somebody else started the run."""
        if self._monitor:
            self._monitor.finish()
        if self._parent:
            self.client.set_terminated(self.run_id, status, end_time)
            close_parent(self.client, *self._parent)

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag."""
        self.client.set_tag(self.run_id, name, value)

    def log_artifact(self, path: str) -> None:
        """Upload a file or folder."""
        self.client.log_artifact(self.run_id, path)

    def kill(self) -> None:
        """Set the status to KILLED, unless somebody else started the run."""
        if self._parent:
            self.client.set_terminated(self.run_id, "KILLED")

    def log_params(self, values: dict[str, str]) -> None:
        """Log parameters by their dotted names."""
        from mlflow.entities import Param

        entries = [Param(f"{PREFIX}{name}", value[:MAX_VALUE_LENGTH]) for name, value in values.items()]
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


def _monitor_system(run_id: str) -> "SystemMetricsMonitor":
    """Log the load of CPU, memory, disk, network and GPU every ten seconds, or as MLflow's environment variables say."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=tracking_uri())
    monitor.start()
    return monitor
