"""The command `submit`: upload this commit's pipeline, start a run, and, if asked, see it through."""

import argparse
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kd.errors import InputError
from pipeline.cli import Commands, new_parser
from pipeline.release import Release, add_release_options, make_release, quiet_client
from pipeline.status import RunStatus, log_hint, read_status, status_table, step_names, took

if TYPE_CHECKING:
    from pipeline.client import Client

PAUSE = 10.0
"""Seconds between two questions for the run's state."""
PATIENCE = 30
"""So many questions in a row may go unanswered."""
EXAMPLES = """  python -m pipeline submit --wait
  python -m pipeline submit --data-rev v2.1 --set distill.weight=2
  python -m pipeline submit --argument train_baseline=false"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "submit", "upload this commit's pipeline and start a run", EXAMPLES)
    parser.add_argument("--name", help="the run's name (default: the version's)")
    parser.add_argument("--wait", action="store_true", help="show each step's state as it changes; exit code 1 if the run fails")
    add_release_options(parser)
    parser.set_defaults(run=_submit)


def start_run(client: "Client", made: Release, name: str) -> str:
    """Start a run of a release; its id.

    Raises:
        InputError: if the server refuses; or does not answer, and then it may have started the run all the same.
    """
    from pipeline.client import ServerError

    try:
        with quiet_client():
            run = client.run_pipeline(
                made.experiment_id,
                name,
                params=made.arguments,
                pipeline_id=made.pipeline_id,
                version_id=made.version_id,
                service_account=made.service_account,
            )
    except ServerError as error:
        if error.status:
            raise
        place = client.link(f"experiments/details/{made.experiment_id}")
        raise InputError(str(error), "the run may have started all the same", f"look at {place} before you submit again") from None
    return str(run.run_id)


def changes(client: "Client", run_id: str) -> Iterator[RunStatus]:
    """A run's status each time that it is asked for, up to the last one.

    Raises:
        ServerError: if the server refuses, or does not answer for five minutes.
    """
    from pipeline.client import ServerError

    names: list[str] = []
    unanswered = 0
    while True:
        try:
            names = names or step_names(client, run_id)
            status = read_status(client, run_id, names)
        except ServerError as error:
            unanswered += 1
            if not error.passing or unanswered == PATIENCE:
                raise
            print(f"{error}; asking again", file=sys.stderr)
        else:
            unanswered = 0
            yield status
            if status.has_ended:
                return
        time.sleep(PAUSE)


def follow(statuses: Iterator[RunStatus]) -> RunStatus:
    """Show a run as it goes on, as a table on a terminal and as lines elsewhere; its last status."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    if not console.is_terminal:
        return _print_changes(statuses)
    with Live(console=console) as live:
        for status in statuses:
            live.update(status_table(status), refresh=True)
    return status


def _print_changes(statuses: Iterator[RunStatus]) -> RunStatus:
    known: dict[str, str] = {}
    for status in statuses:
        for step in status.steps:
            if known.get(step.name, "pending") != step.state:
                known[step.name] = step.state
                duration = f" ({took(step)})" if step.ended else ""
                print(f"{step.name}: {step.state}{duration}", flush=True)
    return status


def _submit(options: argparse.Namespace) -> None:
    client, made = make_release(options)
    run_id = start_run(client, made, options.name or made.version)
    link = client.link(f"runs/details/{run_id}")
    print(f"version {made.version}\nrun {run_id}\n{link}", flush=True)
    if options.wait:
        _see_through(client, run_id, link)


def _see_through(client: "Client", run_id: str, link: str) -> None:
    left = f"no longer waiting; the run goes on: {link}\nlater: python -m pipeline status {run_id}"
    try:
        status = follow(changes(client, run_id))
    except KeyboardInterrupt:
        print(f"\n{left}", file=sys.stderr)
        sys.exit(130)
    except InputError:
        print(left, file=sys.stderr)
        raise
    print(f"run {status.state}")
    if status.state != "succeeded":
        print(f"{status.failure()}\nlogs: {log_hint(client, run_id)}", file=sys.stderr)
        sys.exit(1)
