"""The command `status`: a run's steps, their states and durations."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.cli import Commands, new_parser
from pipeline.package import steps
from pipeline.release import add_server_options, connected

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.client import Client

STYLES = {"succeeded": "green", "failed": "red", "running": "cyan"}
ENDED = ("succeeded", "failed", "canceled", "skipped")
EXAMPLES = "  python -m pipeline status 7c1f0d1e-5d2c-4f1b-9a53-2b8f6f0c4a77"


@dataclass(frozen=True)
class Step:
    """A step of a run: its name, its state in lower case, when it began and ended, and the server's words on a failure."""

    name: str
    state: str
    began: datetime | None = None
    ended: datetime | None = None
    error: str = ""


@dataclass(frozen=True)
class RunStatus:
    """A run: its name and id, its state in lower case, its steps in the order of the graph, and the server's words on a failure."""

    name: str
    run_id: str
    state: str
    steps: tuple[Step, ...]
    error: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether its state is the last one."""
        return self.state in ENDED

    def failure(self) -> str:
        """Which step went wrong, and what is known about it."""
        failed = [step for step in self.steps if step.state == "failed"]
        words = [f"{step.name} failed" + (f": {step.error}" if step.error else "") for step in failed]
        return "; ".join(words) or f"the run is {self.state}" + (f": {self.error}" if self.error else "")


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "status", "a run's steps, their states and durations", EXAMPLES)
    parser.add_argument("run_id", metavar="RUN_ID", help="what `submit` printed; also the end of the run's address")
    add_server_options(parser)
    parser.set_defaults(run=_show)


def step_names(client: "Client", run_id: str) -> list[str]:
    """The steps of a run's pipeline, each behind those that it waits for; none if the server holds no specification of it.

    Raises:
        ServerError: if there is no such run, or no answer.
    """
    run = client.get_run(run_id)
    version = run.pipeline_version_reference
    if not run.pipeline_spec and version:
        run = client.get_pipeline_version(version.pipeline_id, version.pipeline_version_id)
    return steps(run.pipeline_spec) if run.pipeline_spec else []


def read_status(client: "Client", run_id: str, names: Sequence[str]) -> RunStatus:
    """Ask the server for a run whose steps are `names`.

    Raises:
        ServerError: if there is no such run, or no answer.
    """
    run = client.get_run(run_id)
    tasks = {task.display_name: task for task in (run.run_details and run.run_details.task_details) or ()}
    state = _state(run)
    waiting = "not run" if state in ENDED else "pending"
    return RunStatus(run.display_name, run.run_id, state, tuple(_step(name, tasks, waiting) for name in names), _error(run))


def status_table(status: RunStatus) -> "Table":
    """A row a step; the duration of a step that runs grows until now."""
    from rich.table import Table

    table = Table("step", "state", "took")
    table.columns[2].justify = "right"
    for step in status.steps:
        table.add_row(step.name, step.state, took(step), style=STYLES.get(step.state))
    return table


def took(step: Step) -> str:
    """How long a step has run, as h:mm:ss; empty if it has not begun."""
    return str((step.ended or datetime.now(UTC)) - step.began).partition(".")[0] if step.began else ""


def log_hint(client: "Client", run_id: str) -> str:
    """Where the logs are: KFP's published API gives none."""
    namespace = client.get_user_namespace() or "kubeflow"
    return f"kubectl logs -n {namespace} -l pipeline/runid={run_id} -c main --prefix --tail=50"


def _show(options: argparse.Namespace) -> None:
    from rich.console import Console

    client = connected(options)
    status = read_status(client, options.run_id, step_names(client, options.run_id))
    console = Console(highlight=False)
    lines = [f"{status.name}: {status.state}", f"Run:   {client.link(f'runs/details/{status.run_id}')}"]
    console.print("\n".join(lines), markup=False, soft_wrap=True)
    console.print(status_table(status))
    if status.state == "failed":
        console.print(status.failure(), markup=False, soft_wrap=True)
    console.print(f"Logs:  {log_hint(client, status.run_id)}", markup=False, soft_wrap=True)


def _step(name: str, tasks: Mapping[str, Any], waiting: str) -> Step:
    """KFP runs a step as two tasks: `NAME-driver`, which prepares it, and NAME."""
    task, driver = tasks.get(name), tasks.get(f"{name}-driver")
    if driver is not None and _state(driver) == "failed":
        task = driver
    if task is None:
        return Step(name, waiting)
    return Step(name, _state(task), _time(task.start_time), _time(task.end_time), _error(task))


def _state(thing: Any) -> str:
    return str(thing.state or "PENDING").removeprefix("RUNTIME_STATE_").lower()


def _error(thing: Any) -> str:
    """The server's words: of the run or task itself, or of the last change of its state."""
    reports = [thing.error, *(change.error for change in reversed(thing.state_history or ()))]
    return next((" ".join(report.message.split()) for report in reports if report and report.message), "")


def _time(moment: datetime | None) -> datetime | None:
    """What the server writes as 1970 has not happened yet."""
    return moment if moment and moment.year > 1970 else None
