"""What the first step checks, so that no model is trained that cannot be registered afterwards."""

import os
import sys
import time
from contextlib import suppress

from components.prepare_data.data_source import DataSource, check_remote, resolve_source
from components.runtime.execution import current_execution
from components.runtime.store import connect_to_mlflow, import_mlflow, open_parent_run, tracking_uri
from components.runtime.text import mask_passwords, one_line
from kd.errors import InputError

WINDOW = 600.0
"""Seconds during which a server that does not answer is asked again."""
PAUSE = 15.0
SOURCE_TAGS = ("kdflow.data_repo", "kdflow.data_commit", "kdflow.data_rev")
HTTP_SETTINGS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}  # the loop here retries


def open_pipeline(path: str, repo: str, rev: str, model: str) -> DataSource:
    """Create the parent run in MLflow, check that it accepts files and versions of `model`, and resolve and check the data.

    Repository and commit are recorded as tags of the parent run.

    Raises:
        InputError: if a server refuses, or has not answered for `WINDOW` seconds, or the data cannot be read, or `repo` contains a
            password, which would be visible in Kubeflow and MLflow.
    """
    if mask_passwords(repo) != repo:
        remedy = "remove it from the address, and give it to git: GIT_HOST, GIT_USERNAME and GIT_PASSWORD on a cluster"
        raise InputError("data_repo", f"{mask_passwords(repo)} contains a password", remedy)
    for name, value in HTTP_SETTINGS.items():
        os.environ.setdefault(name, value)
    import_mlflow()
    deadline = time.monotonic() + WINDOW
    while True:
        try:
            parent = _check_mlflow(model)
            break
        except Exception as error:  # MLflow, its HTTP client and its databases share no base class
            uri = mask_passwords(tracking_uri())
            if not _may_recover(error) or time.monotonic() + PAUSE > deadline:
                remedy = "correct MLFLOW_TRACKING_URI, or ask its administrator for access to runs, artifacts and registered models"
                raise InputError(uri, f"MLflow cannot be used ({one_line(error)})", remedy) from error
            print(f"{uri}: {one_line(error)}; retrying", file=sys.stderr, flush=True)
            time.sleep(PAUSE)
    try:
        source = resolve_source(path, repo, rev)
        check_remote(source)
        for name, value in zip(SOURCE_TAGS, (source.repo, source.commit, rev), strict=True):
            connect_to_mlflow().set_tag(parent, name, value)
    except BaseException:
        with suppress(Exception):  # the error of the data counts
            connect_to_mlflow().set_terminated(parent, "FAILED")
        raise
    return source


def recorded_source() -> tuple[str, str]:
    """The data's repository and commit, as `open_pipeline` recorded them in this execution; both are "" for a folder on this machine.

    Raises:
        InputError: if the parent run in MLflow does not have them.
    """
    import_mlflow()
    client = connect_to_mlflow()
    _, parent = open_parent_run(client)
    tags = client.get_run(parent).data.tags
    if any(name not in tags for name in SOURCE_TAGS):
        problem = f"the run {parent} of this execution does not name the data's repository"
        raise InputError(mask_passwords(tracking_uri()), problem, "start the pipeline again, and do not delete its run in MLflow")
    return tags[SOURCE_TAGS[0]], tags[SOURCE_TAGS[1]]


def _check_mlflow(model: str) -> str:
    """Do once what the last step needs: create runs, upload files, and change the registered model. Returns the parent's run id."""
    from mlflow.exceptions import MlflowException

    client = connect_to_mlflow()
    _, parent = open_parent_run(client)
    client.log_text(parent, f"{current_execution().id}\n", "execution.txt")
    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # the permission that a new version needs
    client.set_registered_model_tag(model, "kdflow.execution", current_execution().id)
    return parent


def _may_recover(error: Exception) -> bool:
    """Whether the same request may succeed later: the server is away or busy, and does not refuse it."""
    from mlflow.exceptions import MlflowException

    if not tracking_uri().startswith(("http://", "https://")):
        return False
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
    elif isinstance(error, OSError):  # of the HTTP client, with the response if there was one
        response = getattr(error, "response", None)
        status = 503 if response is None else response.status_code
    else:
        return False
    return status in (408, 429) or status >= 500
