"""Checks of the KFP server: version, token, namespace and schedules."""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.doctor.check import Check, run_check
from pipeline.recurring_runs import list_recurring_runs, pipeline_id_of, server_of
from pipeline.release import PIPELINE, find_pipeline
from pipeline.token_sources import expiry_time

if TYPE_CHECKING:
    from pipeline.client import Client, ServerInfo

OLDEST = (2, 17)
"""The oldest version of KFP that kdflow is tested with."""


def check_server(client: "Client", namespace: str, account: str | None) -> list[Check]:
    """The checks of a server that answers."""
    info = client.server_info()
    return [
        _version(info),
        run_check("token", "", lambda: _token(client)),
        run_check("namespace", "", lambda: _namespace(client, namespace, account, info)),
        run_check("schedules", "", lambda: _schedules(client, info.version)),
    ]


def _version(info: "ServerInfo") -> Check:
    tag, kind = info.version, "for several users" if info.is_multi_user else "for a single user"
    number = re.match(r"v?(\d+)\.(\d+)", tag)
    if not number:
        return Check("server", "unknown", f"version '{tag}', {kind}", f"make sure that it is at least {OLDEST[0]}.{OLDEST[1]}")
    if (int(number[1]), int(number[2])) < OLDEST:
        return Check("server", "fault", f"version {tag}", f"upgrade Kubeflow Pipelines to {OLDEST[0]}.{OLDEST[1]} or newer")
    return Check("server", "ok", f"version {tag}, {kind}")


def _token(client: "Client") -> Check:
    source = client.token_source
    if source is None:
        return Check("token", "ok", "none, and the server asks for none")
    expiry = expiry_time(source.token())
    if expiry is None:
        return Check("token", "ok", f"from {source.name}")
    minutes = int((expiry - datetime.now(UTC)).total_seconds() // 60)
    found = f"from {source.name}, expires in {minutes} min"
    if source.name == "KF_PIPELINES_TOKEN":
        return Check("token", "warning", found, "set KF_PIPELINES_TOKEN_COMMAND, so that `submit --wait` can outlast it")
    return Check("token", "ok", found)


def _namespace(client: "Client", namespace: str, account: str | None, info: "ServerInfo") -> Check:
    client.list_runs(page_size=1, namespace=namespace)
    usual = "default-editor" if info.is_multi_user else "pipeline-runner"
    if account != usual:
        remedy = f"set service_account in cluster.yaml to {usual}, unless you made another on purpose"
        if not info.is_multi_user:
            remedy += ", and namespace to that of Kubeflow Pipelines, in which the steps run"
        return Check("namespace", "warning", f"{namespace}, account {account}; such a server usually has {usual}", remedy)
    return Check("namespace", "ok", f"{namespace}, account {account}")


def _schedules(client: "Client", tag: str) -> Check:
    pipeline_id = find_pipeline(client, PIPELINE)
    found = [recurring for recurring in list_recurring_runs(client) if pipeline_id and pipeline_id_of(recurring) == pipeline_id]
    outdated = [f"'{recurring.display_name}' of {server_of(recurring)}" for recurring in found if server_of(recurring) != tag]
    if outdated:
        problem = f"made on another version of the server: {', '.join(outdated)}"
        return Check("schedules", "fault", problem, "run their `schedule` commands again: a schedule keeps the driver of its day")
    return Check("schedules", "ok", ", ".join(f"'{recurring.display_name}'" for recurring in found) or "none")
