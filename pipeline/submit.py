"""The command `submit`: upload the pipeline of this commit, start a run, and with --wait follow it."""

import argparse
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from kd.errors import InputError
from pipeline.cli import Commands, new_parser
from pipeline.release import Release, add_release_options, hide_output, make_release
from pipeline.server_error import ServerError
from pipeline.status import RunStatus, duration, logs_command, read_status, status_table, step_names

if TYPE_CHECKING:
    from pipeline.client import Client

PAUSE = 10.0
"""Seconds between two requests for the state of the run."""
MAX_FAILURES = 30
"""Waiting ends after this many failed requests in a row."""
EXAMPLES = """  %(prog)s --wait
  %(prog)s --data-rev v2.1 --set distill.weight=2
  %(prog)s --argument train_baseline=false"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "submit", "upload the pipeline of this commit and start a run", EXAMPLES)
    parser.add_argument("--name", help="name of the run (default: the version)")
    parser.add_argument("--wait", action="store_true", help="show the state of each step until the run ends; exit code 1 if it fails")
    add_release_options(parser)
    parser.set_defaults(run=_submit)


def start_run(client: "Client", release: Release, name: str) -> str:
    """Start a run of a release. Returns the id of the run.

    Raises:
        InputError: if the server rejects the request, or does not answer; in the latter case, the run may have started.
    """
    try:
        with hide_output():
            run = client.run_pipeline(
                release.experiment_id,
                name,
                params=release.arguments,
                pipeline_id=release.pipeline_id,
                version_id=release.version_id,
                service_account=release.service_account,
            )
    except ServerError as error:
        if error.status:
            raise
        link = client.link(f"experiments/details/{release.experiment_id}")
        raise InputError(str(error), "the run may have started", f"see {link} before you submit again") from None
    return str(run.run_id)


def poll(client: "Client", run_id: str) -> Iterator[RunStatus]:
    """Yield the status of a run every `PAUSE` seconds until the run ends.

    Raises:
        ServerError: if a request is rejected, or `MAX_FAILURES` in a row fail.
    """
    names: list[str] = []
    failures = 0
    while True:
        try:
            names = names or step_names(client, run_id)
            status = read_status(client, run_id, names)
        except ServerError as error:
            failures += 1
            if not error.is_transient or failures == MAX_FAILURES:
                raise
            print(f"{error}; retrying", file=sys.stderr)
        else:
            failures = 0
            yield status
            if status.has_ended:
                return
        time.sleep(PAUSE)


def follow(statuses: Iterator[RunStatus]) -> RunStatus:
    """Show the progress of a run: a table in a terminal, otherwise lines. Returns the last status."""
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
                took = f" ({duration(step)})" if step.ended else ""
                print(f"{step.name}: {step.state}{took}", flush=True)
    return status


def _submit(options: argparse.Namespace) -> None:
    client, release = make_release(options)
    run_id = start_run(client, release, options.name or release.version)
    link = client.link(f"runs/details/{run_id}")
    print(f"version {release.version}\nrun {run_id}\n{link}", flush=True)
    if options.wait:
        _wait(client, run_id, link)


def _wait(client: "Client", run_id: str, link: str) -> None:
    message = f"no longer waiting; the run goes on: {link}\nlater: kdflow pipeline status {run_id}"
    try:
        status = follow(poll(client, run_id))
    except KeyboardInterrupt:
        print(f"\n{message}", file=sys.stderr)
        sys.exit(130)
    except InputError:
        print(message, file=sys.stderr)
        raise
    print(f"run {status.state}")
    if status.state != "succeeded":
        print(f"{status.failure()}\nlogs: {logs_command(run_id)}", file=sys.stderr)
        sys.exit(1)
