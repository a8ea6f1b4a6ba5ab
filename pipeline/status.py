"""The command `status`: the steps of a run, with state and duration."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from pipeline.cli import Commands, new_parser
from pipeline.logs import error_line
from pipeline.package import task_names
from pipeline.release import add_server_options, connect_to_server

if TYPE_CHECKING:
    from pipeline.client import Client

STYLES = {"succeeded": "green", "cached": "green", "failed": "red", "running": "cyan", "stopped": "yellow"}
SILENT_DEATH = "ended without an error message, as a process that is killed does; more memory may help"
ENDED = ("succeeded", "failed", "stopped", "skipped")
EXAMPLES = "  %(prog)s 7c1f0d1e-5d2c-4f1b-9a53-2b8f6f0c4a77"


@dataclass(frozen=True)
class StepStatus:
    """A step of a run. `state` is in lower case; `error` is the server's error message."""

    name: str
    state: str
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""


@dataclass(frozen=True)
class RunStatus:
    """A run, with its steps in topological order. `state` is in lower case; `error` is the server's error message."""

    name: str
    run_id: str
    state: str
    steps: tuple[StepStatus, ...]
    error: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the state is final."""
        return self.state in ENDED

    def failure(self) -> str:
        """The failed steps and their error messages, in one line."""
        failed = [step for step in self.steps if step.state == "failed"]
        messages = [f"{step.name} failed" + (f": {step.error}" if step.error else "") for step in failed]
        return "; ".join(messages) or f"the run is {self.state}" + (f": {self.error}" if self.error else "")


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "status", "show the steps of a run, with state and duration", EXAMPLES)
    parser.add_argument("run_id", metavar="RUN_ID", help="id of the run, as `submit` prints it")
    add_server_options(parser)
    parser.set_defaults(run=_show)


def step_names(client: "Client", run_id: str) -> list[str]:
    """The steps of a run in topological order; empty if the server has no specification of its pipeline.

    Raises:
        ServerError: if there is no such run, or the request fails.
    """
    run = client.get_run(run_id)
    version = run.pipeline_version_reference
    if not run.pipeline_spec and version:
        run = client.get_pipeline_version(version.pipeline_id, version.pipeline_version_id)
    return task_names(run.pipeline_spec) if run.pipeline_spec else []


def read_status(client: "Client", run_id: str, names: Sequence[str]) -> RunStatus:
    """Read the status of a run with the steps `names`.

    Raises:
        ServerError: if there is no such run, or the request fails.
    """
    run = client.get_run(run_id)
    tasks = {task.display_name: task for task in (run.run_details and run.run_details.task_details) or ()}
    state = _run_state(run)
    state_without_task = "not run" if state in ENDED else "pending"
    steps = [_step(name, tasks, state_without_task) for name in names]
    if state == "failed":
        steps = [_explain(client, run_id, step) if step.state == "failed" else step for step in steps]
    return RunStatus(run.display_name, run.run_id, state, tuple(steps), _error(run))


def status_table(status: RunStatus) -> Table:
    """One row per step; the duration of a running step is up to now."""
    table = Table("step", "state", "duration")
    table.columns[2].justify = "right"
    for step in status.steps:
        table.add_row(step.name, step.state, duration(step), style=STYLES.get(step.state))
    return table


def duration(step: StepStatus) -> str:
    """The duration of a step as h:mm:ss; empty if it has not started."""
    return str((step.ended or datetime.now(UTC)) - step.started).partition(".")[0] if step.started else ""


def logs_command(run_id: str) -> str:
    """The command that prints the log of a step."""
    return f"kdflow pipeline logs {run_id} STEP"


def _show(options: argparse.Namespace) -> None:
    client = connect_to_server(options)
    status = read_status(client, options.run_id, step_names(client, options.run_id))
    console = Console(highlight=False)
    lines = [f"{status.name}: {status.state}", f"Run:   {client.link(f'runs/details/{status.run_id}')}"]
    console.print("\n".join(lines), markup=False, soft_wrap=True)
    console.print(status_table(status))
    if status.state == "failed":
        console.print(status.failure(), markup=False, soft_wrap=True)
    console.print(f"Logs:  {logs_command(status.run_id)}", markup=False, soft_wrap=True)


def _step(name: str, tasks: Mapping[str, Any], state_without_task: str) -> StepStatus:
    """The status of a step, which KFP runs as two tasks: first `NAME-driver`, then NAME."""
    task, driver = tasks.get(name), tasks.get(f"{name}-driver")
    if driver is not None and _state(driver) == "failed":
        task = driver
    if task is None or not task.state:  # KFP lists the steps behind a failed one as well
        return StepStatus(name, state_without_task)
    started, ended = _time(task.start_time), _time(task.end_time)
    # KFP says of a cached step that it succeeded; but one that has a pod takes seconds
    is_cached = _state(task) == "succeeded" and started and ended and ended - started < timedelta(seconds=1)
    return StepStatus(name, "cached" if is_cached else _state(task), started, ended, _error(task))


def _explain(client: "Client", run_id: str, step: StepStatus) -> StepStatus:
    """A failed step with the error line of its log; what the server says is about pods and exit codes."""
    return replace(step, error=error_line(client, run_id, step.name) or step.error or SILENT_DEATH)


def _run_state(run: Any) -> str:
    """A run that somebody stopped is FAILED for KFP, after CANCELING; also if it was retried in between, the last end counts."""
    before = [change.state for change in run.state_history or () if change.state not in ("FAILED", run.state)]
    stopped = run.state == "FAILED" and before[-1:] and before[-1].startswith("CANCEL")
    return "stopped" if stopped or run.state == "CANCELED" else _state(run)


def _state(run_or_task: Any) -> str:
    return str(run_or_task.state or "PENDING").removeprefix("RUNTIME_STATE_").lower()


def _error(run_or_task: Any) -> str:
    """The error message of a run or task, or of the last change of its state that has one."""
    reports = [run_or_task.error, *(change.error for change in reversed(run_or_task.state_history or ()))]
    return next((" ".join(report.message.split()) for report in reports if report and report.message), "")


def _time(time: datetime | None) -> datetime | None:
    """`time`, or None if it is in 1970, which the server writes for events that have not happened yet."""
    return time if time and time.year > 1970 else None
