"""Let the runs of the pipeline in a namespace train one after the other: Kubeflow's own limit counts the runs of one schedule only."""

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import urllib3
from kubernetes.client import ApiException, CustomObjectsApi
from kubernetes.config import ConfigException

from components.runtime.text import one_line
from kd.errors import InputError
from pipeline.kubernetes_client import REQUEST_OPTIONS, connect_to_kubernetes

Overlap = Literal["wait", "fail", "allow"]
NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
MARK = "pipeline.launch import resolve_version"
"""Text in every workflow of this pipeline, also of older images (without an s): a schedule's workflows have the schedule's name."""
RUN_LABEL = "pipeline/runid"
PAUSE, MAX_FAILURES = 30.0, 10


def wait_for_turn() -> None:
    """Wait until no run that was started earlier is under way, or fail, as the variable KDFLOW_OVERLAP says; without it do nothing.

    If the service account may not list workflows, "wait" does not wait.

    Raises:
        InputError: for "fail", if an earlier run is under way or the workflows cannot be listed.
    """
    policy = os.environ.get("KDFLOW_OVERLAP", "allow")
    if policy == "allow":
        return
    waiting_for = ""
    try:
        while earlier := _ask_for_earlier_runs(os.environ["KDFLOW_EXECUTION"]):
            if policy == "fail":
                raise InputError("run.overlap", f"run {earlier[0]} is under way", "wait until it ends, or stop it, then run again")
            if earlier[0] != waiting_for:
                waiting_for = earlier[0]
                print(f"waiting until run {waiting_for} ends", flush=True)
            time.sleep(PAUSE)
    except (ApiException, ConfigException, OSError, urllib3.exceptions.HTTPError) as error:
        problem = f"workflows cannot be listed ({one_line(error)})"
        if policy == "fail":
            raise InputError("run.overlap", problem, "let the service account list workflows, or set it to allow") from None
        print(f"{problem}: does not wait for earlier runs", file=sys.stderr)


def _ask_for_earlier_runs(run_id: str) -> list[str]:
    """`_earlier_runs`; asks up to `MAX_FAILURES` times if Kubernetes does not answer."""
    for _ in range(MAX_FAILURES - 1):
        with suppress(urllib3.exceptions.HTTPError):
            return _earlier_runs(run_id)
        time.sleep(PAUSE)
    return _earlier_runs(run_id)


def _earlier_runs(run_id: str) -> list[str]:
    """The ids of the runs under way that were started before `run_id`, oldest first."""
    ids = runs_under_way()
    return ids[: ids.index(run_id)] if run_id in ids else []


def runs_under_way() -> list[str]:
    """The ids of the runs of this pipeline in this pod's namespace that have not ended, oldest first; those of one second by name.

    Raises:
        kubernetes.client.ApiException: if the service account may not list workflows.
        urllib3.exceptions.HTTPError: if Kubernetes does not answer.
    """
    namespace = Path(NAMESPACE_FILE).read_text(encoding="utf-8").strip()
    api = CustomObjectsApi(connect_to_kubernetes())
    selector = "workflows.argoproj.io/completed!=true"
    answer: dict[str, Any] = api.list_namespaced_custom_object(
        "argoproj.io", "v1alpha1", namespace, "workflows", label_selector=selector, **REQUEST_OPTIONS
    )
    ours = [item["metadata"] for item in answer["items"] if MARK in json.dumps(item["spec"])]
    ours.sort(key=lambda metadata: (metadata["creationTimestamp"], metadata["name"]))
    return [str(metadata.get("labels", {}).get(RUN_LABEL)) for metadata in ours]
