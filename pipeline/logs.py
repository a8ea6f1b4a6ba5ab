"""The command `logs`: the log of a step, read through KFP's API."""

import argparse
import base64
import json
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kd.errors import InputError
from pipeline.cli import Commands, new_parser
from pipeline.release import add_server_options, connect_to_server
from pipeline.server_error import ServerError

if TYPE_CHECKING:
    from pipeline.client import Client

PAUSE = 5.0
"""Seconds between two requests of `--follow`; KFP ignores `follow` and returns what there is."""
EXAMPLES = """  %(prog)s 7c1f0d1e-5d2c-4f1b-9a53-2b8f6f0c4a77 train_teacher --follow
  %(prog)s 7c1f0d1e-5d2c-4f1b-9a53-2b8f6f0c4a77 train_teacher --attempt 1"""
CAUSE = re.compile(r"(?:error: |F\d{4} .*?\] KFP driver: .*?\) failed: )(.+)|([A-Za-z_][\w.]*(?:Error|Exception)(?::.*)?)$")
"""The line of a log that says why a step failed: ours, the last one of Kubeflow's driver, or an exception."""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "logs", "print the log of a step", EXAMPLES)
    parser.add_argument("run_id", metavar="RUN_ID", help="id of the run, as `submit` prints it")
    parser.add_argument("step", metavar="STEP", help="name of the step, as `status` prints it")
    parser.add_argument("--follow", action="store_true", help="go on until the step ends")
    parser.add_argument("--attempt", type=int, metavar="N", help="the Nth attempt, from 1 (default: the last one)")
    add_server_options(parser)
    parser.set_defaults(run=_show)


@dataclass(frozen=True)
class Pod:
    """A pod of a step: one attempt.

    Args:
        name: the pod's name.
        state: the phase of its node in Argo's workflow, such as Running, Succeeded or Error.
        started: when it started.
        message: why it failed, and what it wrote to its termination log: `main: Error (exit code 1): error: ...`.
    """

    name: str
    state: str
    started: str
    message: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the state is final."""
        return self.state not in ("", "Pending", "Running")

    @property
    def failed(self) -> bool:
        """Whether the process failed, or the pod was lost."""
        return self.state in ("Failed", "Error")


def pods_of_step(client: "Client", run_id: str, step: str) -> list[Pod]:
    """The pods of a step, one for each attempt, in the order of their start.

    KFP's tasks name no pods, so they are found in Argo's workflow, which only version 1 of KFP's API returns. A step is the nodes
    STEP, STEP(0), executor and executor(0), with one executor(N) for each retry. A step has no pod before it starts, and if it is cached.
    If Kubeflow's driver, which prepares the step, failed, its pods are returned.

    Raises:
        ServerError: if there is no such run, or the request fails.
    """
    runtime = json.loads(client.get_text(f"/apis/v1beta1/runs/{run_id}")).get("pipeline_runtime") or {}
    workflow = json.loads(runtime.get("workflow_manifest") or "{}")
    nodes = workflow.get("status", {}).get("nodes") or {}
    step = step.replace("_", "-")
    return _find_pods(workflow, nodes, step) or [pod for pod in _find_pods(workflow, nodes, f"{step}-driver") if pod.failed]


def _find_pods(workflow: Any, nodes: Mapping[str, Any], step: str) -> list[Pod]:
    found: dict[str, Pod] = {}
    waiting = [key for key, node in nodes.items() if node["displayName"] == step]
    while waiting:
        key = waiting.pop()
        node = nodes[key]
        if node["type"] == "Pod":
            name = "-".join((workflow["metadata"]["name"], node["templateName"], key.rpartition("-")[2]))
            found[key] = Pod(name, node.get("phase", ""), node.get("startedAt") or "", node.get("message") or "")
        waiting += [child for child in node.get("children", ()) if child in nodes and _part_of(nodes[child]["displayName"], step)]
    return sorted(found.values(), key=lambda pod: pod.started)


def read_log(client: "Client", run_id: str, pod: Pod) -> str:
    """The log of an attempt: the archived one if the attempt has ended, else, or without an archive, the pod's.

    Raises:
        ServerError: if there is neither.
    """
    if pod.has_ended:
        try:
            answer = client.get_text(f"/apis/v2beta1/runs/{run_id}/nodes/{pod.name}/artifacts/main-logs:read")
            return base64.b64decode(json.loads(answer)["data"]).decode(errors="replace")
        except ServerError as error:
            if not 400 <= error.status < 600:
                raise
    text = client.get_text(f"/apis/v1alpha1/runs/{run_id}/nodes/{pod.name}/log")
    if text.startswith('{"error_'):  # KFP has sent status 200 before it knows
        if not pod.has_ended:  # a server without users looks for the pod in no namespace
            raise ServerError(
                run_id, 404, f"KFP does not show the log of a pod that runs ({pod.name})", "wait for its end, or use kubectl logs"
            )
        raise ServerError(run_id, 404, "the log is neither archived nor in a pod", "run the step again, or ask for archived logs")
    return text


def error_line(client: "Client", run_id: str, step: str) -> str:
    """What the last attempt of a step reported after `error: `, or the exception that ended it; "" if neither is found.

    Without a log, what the attempt wrote to its termination log is used.
    """
    try:
        pods = pods_of_step(client, run_id, step)
    except ServerError:
        return ""
    if not pods:
        return ""
    try:
        text = read_log(client, run_id, pods[-1])
    except ServerError:
        text = pods[-1].message.partition("): ")[2]
    return next((match[1] or match[2] for line in reversed(text.splitlines()) if (match := CAUSE.match(line))), "")


def _part_of(name: str, step: str) -> bool:
    return name.partition("(")[0] in (step, "executor")


def _show(options: argparse.Namespace) -> None:
    client = connect_to_server(options)
    printed = warning = ""
    while True:
        pod = _choose(pods_of_step(client, options.run_id, options.step), options.step, options.attempt)
        try:
            text = read_log(client, options.run_id, pod)
        except ServerError as error:
            if not options.follow or pod.has_ended:
                raise
            if str(error) != warning:
                print(error, file=sys.stderr)
            text, warning = printed, str(error)
        sys.stdout.write(text.removeprefix(printed))
        sys.stdout.flush()
        printed = text
        if not options.follow or pod.has_ended:
            return
        time.sleep(PAUSE)


def _choose(pods: list[Pod], step: str, number: int | None) -> Pod:
    if not pods:
        raise InputError(step, "has no log in this run", "`kdflow pipeline status RUN_ID` lists the steps; a cached one does not run")
    if number is not None and not 1 <= number <= len(pods):
        raise InputError("--attempt", f"{step} has {len(pods)} attempts, not {number}", f"give 1 to {len(pods)}")
    return pods[number - 1 if number else -1]
