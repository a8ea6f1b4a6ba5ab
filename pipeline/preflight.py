"""What the first step checks, so that no model is trained that cannot be registered afterwards."""

import os
import sys
import time
from contextlib import suppress

from components.params.models import Params
from components.prepare_data.data_source import check_remote, resolve_source
from components.runtime.execution import current_execution
from components.runtime.store import CORRECT_SETTINGS, connect_to_mlflow, import_mlflow, open_parent_run, tracking_uri
from components.runtime.text import mask_passwords, one_line
from kd.errors import InputError
from pipeline.initial_weights import resolve_weights
from pipeline.recorded_source import record_source
from pipeline.unlabelled import data_version, resolve_unlabelled

WINDOW = 600.0
"""Seconds during which a server that does not answer is asked again."""
PAUSE = 15.0
HTTP_SETTINGS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}  # the loop here retries


def open_pipeline(params: Params, repo: str, rev: str) -> tuple[str, str, str]:
    """Create the parent run in MLflow, check that it accepts files and versions of the model, and resolve and check the data.

    Repository and commit are recorded as tags of the parent run.

    Args:
        params: the sections `data`, `register_model`, `teacher` and `student`.
        repo: git repository in which DVC tracks the data; "" for a folder on this machine.
        rev: commit, tag or branch; "" for the newest commit.

    Returns:
        The versions of the data and of the initial weights of teacher and student; see `pipeline.initial_weights`.

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
            parent = _check_mlflow([params.register_model.name, *filter(None, [params.register_model.teacher])])
            break
        except Exception as error:  # MLflow, its HTTP client and its databases share no base class
            uri = mask_passwords(tracking_uri())
            if not _may_recover(error) or time.monotonic() + PAUSE > deadline:
                remedy = f"{CORRECT_SETTINGS}, or ask its administrator for access to runs, artifacts and registered models"
                raise InputError(uri, f"MLflow cannot be used ({one_line(error)})", remedy) from error
            print(f"{uri}: {one_line(error)}; retrying", file=sys.stderr, flush=True)
            time.sleep(PAUSE)
    try:
        source = resolve_source(params.data.path, repo, rev)
        check_remote(source)
        if unlabelled := resolve_unlabelled(params.data.unlabelled, source.repo, source.commit):
            check_remote(unlabelled)
        record_source(parent, source, rev)
        teacher, student = (resolve_weights(init, source.repo, source.commit) for init in (params.teacher.init, params.student.init))
    except BaseException:
        with suppress(Exception):  # the error of the data counts
            connect_to_mlflow().set_terminated(parent, "FAILED")
        raise
    return data_version(source, unlabelled), teacher, student


def _check_mlflow(models: list[str]) -> str:
    """Do once what the last step needs: create runs, upload files, and change the registered models. Returns the parent's run id."""
    from mlflow.exceptions import MlflowException

    client = connect_to_mlflow()
    _, parent = open_parent_run(client)
    client.log_text(parent, f"{current_execution().id}\n", "execution.txt")
    for model in models:
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
