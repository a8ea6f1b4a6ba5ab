"""Checks of MLflow, the data and the checkpoint volume, with the environment of this process: a pod's, or your machine's."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

from components.params.values import is_model_uri
from components.prepare_data.data_source import DataSource, check_remote, resolve_source
from components.runtime.store import CORRECT_SETTINGS, connect_to_mlflow, experiment_name, import_mlflow, limit_requests, tracking_uri
from components.runtime.text import mask_passwords
from pipeline.doctor.check import Check, failed_check, run_check
from pipeline.environment import apply_environment
from pipeline.initial_weights import resolve_weights

IN_CLUSTER = "use --in-cluster"
PREFIX = "kdflow doctor: "
"""Start of the line that `print_checks` writes."""


def check_volume() -> Check:
    """Whether the checkpoint volume can be written."""
    folder = os.environ.get("KDFLOW_CHECKPOINTS")
    if not folder or not Path(folder).is_dir():
        return Check("checkpoints writable", "unknown", "only a pod of a training mounts the volume", IN_CLUSTER)
    try:
        with TemporaryFile(dir=folder) as file:
            file.write(b"kdflow")
    except OSError as error:
        remedy = "give group 10001 write access, as the job in pipeline/manifests/checkpoints.yaml does"
        return Check("checkpoints writable", "fault", f"{folder}: {error.strerror}", remedy)
    return Check("checkpoints writable", "ok", folder)


def check_mlflow(models: Sequence[str]) -> Check:
    """Whether MLflow and its registry can be read, also the registered models of this pipeline."""
    uri = mask_passwords(tracking_uri())
    if not uri.startswith(("http://", "https://")):
        return Check("MLflow", "unknown", "MLFLOW_TRACKING_URI is not set here", f"set it to a server, or {IN_CLUSTER}")
    remedy = f"{CORRECT_SETTINGS}, or ask its administrator for access"
    return run_check("MLflow", remedy, lambda: _read_mlflow(uri, models))


def check_data(path: str, unlabelled: str, repo: str, rev: str) -> list[Check]:
    """Whether the data repository and its DVC remote can be read, and has the folder `unlabelled`, unless that is ""."""
    if not repo:
        return [Check("data repository", "unknown", "no repository is given", "add --data-repo and --data-rev")]
    try:
        source = resolve_source(path, repo, rev)
    except Exception as error:  # as in `run_check`
        checks = [failed_check("data repository", "check the address and git's credentials", error)]
    else:
        checks = [Check("data repository", "ok", f"{source}, version {source.version}")]
        checks.append(run_check("DVC remote", "check its address and credentials", lambda: _read_remote(source)))
        if unlabelled:
            remedy = "track the folder with DVC in that repository, or correct data.unlabelled"
            checks.append(run_check("pictures without labels", remedy, lambda: _read_unlabelled(unlabelled, source)))
    return [_as_seen_from_here(check) for check in checks]


def check_weights(weights: Sequence[str], repo: str, rev: str) -> list[Check]:
    """Whether the initial weights of the trainings exist: versions in the registry, or files in the data repository."""
    return [_as_seen_from_here(_check_weights(f"initial weights {init}", init, repo, rev)) for init in dict.fromkeys(weights) if init]


def check_pod(path: str, unlabelled: str, models: Sequence[str], weights: Sequence[str], repo: str, rev: str) -> list[Check]:
    """All checks of this module."""
    return [check_volume(), check_mlflow(models), *check_data(path, unlabelled, repo, rev), *check_weights(weights, repo, rev)]


def print_checks(path: str, unlabelled: str, models: Sequence[str], weights: Sequence[str], repo: str, rev: str) -> None:
    """Run the checks in this pod, and print them for `pipeline.doctor.in_cluster`."""
    apply_environment()
    print(PREFIX + json.dumps(check_pod(path, unlabelled, models, weights, repo, rev)), flush=True)


def _as_seen_from_here(check: Check) -> Check:
    """Outside of a pod, credentials and the network are others, so that it is unknown whether a pod can read the data."""
    can_differ = "cannot be read" in check.detail or "credentials" in check.detail
    if check.state != "fault" or not can_differ or "KDFLOW_EXECUTION" in os.environ:
        return check
    return check._replace(state="unknown", detail=f"not from this machine: {check.detail}", remedy=f"{check.remedy}, or {IN_CLUSTER}")


def _check_weights(name: str, init: str, repo: str, rev: str) -> Check:
    if is_model_uri(init):
        if not tracking_uri().startswith(("http://", "https://")):
            return Check(name, "unknown", "MLFLOW_TRACKING_URI is not set here", f"set it to a server, or {IN_CLUSTER}")
        limit_requests()
        import_mlflow()
    elif not repo:
        return Check(name, "unknown", "no repository is given", "add --data-repo and --data-rev")
    return run_check(name, "correct init, or track the file with DVC", lambda: _read_weights(name, init, repo, rev))


def _read_weights(name: str, init: str, repo: str, rev: str) -> Check:
    version = json.loads(resolve_weights(init, repo, rev))["version"]
    return Check(name, "ok", f"version {version}" if version else "do not exist yet: the training starts from random weights")


def _read_mlflow(uri: str, models: Sequence[str]) -> Check:
    from mlflow.exceptions import MlflowException

    limit_requests()
    import_mlflow()
    client = connect_to_mlflow()
    experiment = client.get_experiment_by_name(experiment_name())
    registered = []
    for model in models:
        try:
            client.get_registered_model(model)
            registered.append(f"model {model}")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            registered.append(f"no model {model} yet")
    return Check("MLflow", "ok", f"{uri}, {'' if experiment else 'no '}experiment {experiment_name()}, {', '.join(registered)}")


def _read_unlabelled(folder: str, data: DataSource) -> Check:
    source = resolve_source(folder, data.repo, data.commit)
    check_remote(source)
    return Check("pictures without labels", "ok", f"{source}, version {source.version}")


def _read_remote(source: DataSource) -> Check:
    check_remote(source)
    return Check("DVC remote", "ok", "has the list of files")
