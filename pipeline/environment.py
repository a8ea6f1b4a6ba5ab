"""The environment of a step in a pod, which it shares with Kubeflow's launcher and Kubeflow's MLflow plugin."""

import os

PREFIXES = ("KDFLOW_AWS_", "KDFLOW_MLFLOW_")
UMASK = 0o022
"""Kubeflow's launcher lets everybody write to new files, also on the checkpoint volume."""
INJECTED = ("RUN_ID", "EXPERIMENT_ID", "WORKSPACE", "TRACKING_AUTH", "TRACKING_TOKEN", "TRACKING_USERNAME", "TRACKING_PASSWORD")
"""What the plugin sets, without the prefix MLFLOW_, for its own server."""


def apply_environment() -> None:
    """Set AWS_NAME and MLFLOW_NAME to KDFLOW_AWS_NAME and KDFLOW_MLFLOW_NAME, where they are set, for this process and its children.

    A run that the plugin has started is used only if it is on our server. New files can be written by their owner only.
    """
    os.umask(UMASK)
    ours, injected = (os.environ.get(name) for name in ("KDFLOW_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI"))
    if ours and injected and ours.rstrip("/") != injected.rstrip("/"):
        for name in INJECTED:
            os.environ.pop(f"MLFLOW_{name}", None)
    values = {name.removeprefix("KDFLOW_"): value for name, value in os.environ.items() if name.startswith(PREFIXES)}
    os.environ.update(values)
