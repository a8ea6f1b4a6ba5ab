"""End in MLflow the runs that Kubeflow ended without them: those stopped in its user interface, or whose pods were deleted."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from components.runtime.execution import EXECUTION_TAG, close_execution
from components.runtime.store import connect_to_mlflow, open_parent_run
from components.runtime.text import one_line, quote_filter
from kd.files import digest
from pipeline.overlap import NAMESPACE_FILE, runs_under_way

if TYPE_CHECKING:
    from mlflow import MlflowClient

CLUSTER_TAG = "kdflow.cluster"
"""Tag of a parent run: the namespace and cluster of its pipeline, because several can share one MLflow."""


def close_ended_runs() -> None:
    """Mark this execution's parent run with its cluster, and set runs of earlier pipelines there that are no longer under way to KILLED.

    Outside a cluster nothing is done. An error is only printed: the next pipeline does the same.
    """
    if "KDFLOW_CLUSTER" not in os.environ or not Path(NAMESPACE_FILE).exists():
        return
    try:
        if closed := _close(connect_to_mlflow()):
            print(f"MLflow: {closed} runs of ended pipelines set to KILLED", flush=True)
    except Exception as error:  # MLflow, Kubernetes and their HTTP clients share no base class
        print(f"runs of ended pipelines may stay RUNNING in MLflow ({one_line(error)})", file=sys.stderr)


def _close(client: "MlflowClient") -> int:
    cluster = _cluster()
    experiment_id, own = open_parent_run(client)
    client.set_tag(own, CLUSTER_TAG, cluster)
    condition = f"tags.`{CLUSTER_TAG}` = {quote_filter(cluster)} and attributes.status = 'RUNNING'"
    parents = client.search_runs([experiment_id], condition, max_results=1000)
    # asked for afterwards, because a workflow exists before its parent run
    running = {*runs_under_way(), os.environ["KDFLOW_EXECUTION"]}
    executions = {run.data.tags[EXECUTION_TAG] for run in parents} - running
    return sum(close_execution(client, experiment_id, execution) for execution in executions)


def _cluster() -> str:
    """The namespace of this pod, and what tells its cluster from others: a digest of its certificate authority."""
    folder = Path(NAMESPACE_FILE).parent
    authority = folder / "ca.crt"
    return f"{Path(NAMESPACE_FILE).read_text(encoding='utf-8').strip()} {digest(authority)[:16] if authority.exists() else ''}".strip()
