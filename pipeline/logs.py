"""The command `logs`: the log of a step, read through KFP's API."""

import argparse
import base64
import json
import sys
import time
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
FINAL = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "logs", "print the log of a step", EXAMPLES)
    parser.add_argument("run_id", metavar="RUN_ID", help="id of the run, as `submit` prints it")
    parser.add_argument("step", metavar="STEP", help="name of the step, as `status` prints it")
    parser.add_argument("--follow", action="store_true", help="go on until the step ends")
    parser.add_argument("--attempt", type=int, metavar="N", help="the Nth attempt, from 1 (default: the last one)")
    add_server_options(parser)
    parser.set_defaults(run=_show)


def pods_of_step(run: Any, step: str) -> list[Any]:
    """The tasks of a run that are the pods of a step, one for each attempt, in the order of their start.

    KFP runs STEP as the tasks STEP, STEP(0), executor and executor(0), with one executor(N) for each retry. A task names its
    children by node ids, which have only the last part in common with pod names.
    """
    tasks = (run.run_details and run.run_details.task_details) or ()
    by_hash = {task.pod_name.rpartition("-")[2]: task for task in tasks if task.pod_name}
    step = step.replace("_", "-")
    pods: dict[str, Any] = {}
    waiting = [task for task in tasks if task.display_name == step]
    while waiting:
        task = waiting.pop()
        children = [by_hash.get((child.pod_name or "").rpartition("-")[2]) for child in task.child_tasks or ()]
        inner = [child for child in children if child and _part_of(child.display_name, step)]
        if not inner and _part_of(task.display_name, "executor"):
            pods[task.pod_name] = task
        waiting += inner
    return sorted(pods.values(), key=lambda task: task.start_time)


def read_log(client: "Client", run_id: str, task: Any) -> str:
    """The log of an attempt: the archived one if the attempt has ended, else, or without an archive, the pod's.

    Raises:
        ServerError: if there is neither.
    """
    if task.state in FINAL:
        try:
            answer = client.get_text(f"/apis/v2beta1/runs/{run_id}/nodes/{task.pod_name}/artifacts/main-logs:read")
            return base64.b64decode(json.loads(answer)["data"]).decode(errors="replace")
        except ServerError as error:
            if not 400 <= error.status < 600:
                raise
    text = client.get_text(f"/apis/v1alpha1/runs/{run_id}/nodes/{task.pod_name}/log")
    if text.startswith('{"error_'):  # KFP has sent status 200 before it knows
        raise ServerError(run_id, 404, "the log is neither archived nor in a pod", "run the step again, or ask for archived logs")
    return text


def error_line(client: "Client", run: Any, step: str) -> str:
    """What the last attempt of a step reported after `error: `; "" if it reported nothing, or its log is gone."""
    pods = pods_of_step(run, step)
    try:
        lines = read_log(client, run.run_id, pods[-1]).splitlines() if pods else []
    except ServerError:
        return ""
    return next((line.removeprefix("error: ") for line in reversed(lines) if line.startswith("error: ")), "")


def _part_of(name: str, step: str) -> bool:
    return name.partition("(")[0] in (step, "executor")


def _show(options: argparse.Namespace) -> None:
    client = connect_to_server(options)
    printed = ""
    while True:
        task = _choose(client.get_run(options.run_id), options.step, options.attempt)
        text = read_log(client, options.run_id, task)
        sys.stdout.write(text.removeprefix(printed))
        sys.stdout.flush()
        printed = text
        if not options.follow or task.state in FINAL:
            return
        time.sleep(PAUSE)


def _choose(run: Any, step: str, number: int | None) -> Any:
    pods = pods_of_step(run, step)
    if not pods:
        raise InputError(step, "has no log in this run", "`kdflow pipeline status RUN_ID` lists the steps; a cached one does not run")
    if number is not None and not 1 <= number <= len(pods):
        raise InputError("--attempt", f"{step} has {len(pods)} attempts, not {number}", f"give 1 to {len(pods)}")
    return pods[number - 1 if number else -1]
