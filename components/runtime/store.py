"""MLflow's store of runs and models: its address, how to connect to it, and the experiment and parent run in it."""

import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from components.runtime.execution import Execution, current_execution, open_parent

if TYPE_CHECKING:
    from mlflow import MlflowClient

CORRECT_SETTINGS = "correct MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
"""Remedy for a server that cannot be reached, or refuses a user."""

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
    """The working folder; in the copy of an experiment (`dvc exp run --temp` or `--queue`), the corresponding folder of the project."""
    here, root = Path.cwd(), os.environ.get("DVC_ROOT")
    copies = Path(root, ".dvc/tmp/exps").resolve() if root else here
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir() and folder != copies and folder.is_relative_to(copies):
            return Path(root or "", here.relative_to(folder))
    return here


def tracking_uri() -> str:
    """The store of runs and models: `MLFLOW_TRACKING_URI` if set, else mlflow.db. Relative paths of sqlite are in the project."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    kind, separator, file = uri.partition(":///")
    if kind != "sqlite" or not separator or file.startswith("/"):
        return uri
    # an absolute path, because MLflow caches stores by URI and the working folder may change
    name, question, query = file.partition("?")
    folder = str(project_folder() / name).replace("%", "%25").replace("?", "%3F")  # a ? in the project's path starts no query
    return f"sqlite:///{folder}{question}{query}"


def sqlite_file() -> Path | None:
    """The file of `tracking_uri()` if it is a sqlite store, else None."""
    kind, _, file = tracking_uri().partition(":///")
    return Path(unquote(file.partition("?")[0])) if kind == "sqlite" else None


def experiment_name() -> str:
    """The experiment of the runs: `MLFLOW_EXPERIMENT_NAME` if set, else "kdflow"."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or "kdflow"


def checkpoint_folder() -> Path:
    """The folder for checkpoints, set by `KDFLOW_CHECKPOINTS`. It is not a DVC output, because DVC deletes those before a stage runs."""
    return Path(os.environ.get("KDFLOW_CHECKPOINTS", ".checkpoints"))


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


def connect_to_mlflow() -> "MlflowClient":
    """A client of the store.

    Raises:
        sqlite3.Error: if the store is a file that cannot be opened.
    """
    from mlflow import MlflowClient

    if (file := sqlite_file()) and file.parent.is_dir():
        sqlite3.connect(file).close()  # raises at once if the file cannot be opened; MLflow would retry for minutes
    return MlflowClient(tracking_uri())


def open_parent_run(client: "MlflowClient", execution: Execution | None = None) -> tuple[str, str]:
    """The experiment's id, and the run id of the parent run of the (present) execution, which is created if it does not exist.

    The first step of a pipeline calls this, so that steps that start at the same time find one parent.
    """
    experiment_id = _get_or_create_experiment(client)
    return experiment_id, open_parent(client, experiment_id, execution or current_execution())


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
