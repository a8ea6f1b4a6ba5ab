"""The commands `schedule`, `schedules` and `unschedule`."""

import argparse
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from cronsim import CronSim
from rich.console import Console
from rich.table import Table

from kd.errors import InputError
from pipeline.cli import Commands, new_parser
from pipeline.control import stop_run
from pipeline.cron import parse_cron
from pipeline.recurring_runs import Schedule, deploy, find, is_enabled, list_recurring_runs, pipeline_id_of, remove
from pipeline.release import (
    PIPELINE,
    add_release_options,
    add_server_options,
    connect_to_server,
    equals_filter,
    find_pipeline,
    make_release,
)
from pipeline.server_error import ServerError

if TYPE_CHECKING:
    from pipeline.client import Client

SCHEDULE_EXAMPLES = """  %(prog)s --cron "0 3 * * 1"                     every Monday at 3:00
  %(prog)s --cron @weekly --data-rev main --name fresh
  %(prog)s --cron "0 3 * * 1" --pause             pause it; without --pause it is resumed

There is one schedule per name. The same settings change nothing; other settings replace it without missing a time. Times are in
the time zone of the cluster: UTC, unless CRON_SCHEDULE_TIMEZONE is set there."""
SHOW_EXAMPLES = "  %(prog)s"
REMOVE_EXAMPLES = "  %(prog)s fresh\n  %(prog)s fresh --now"
FINAL = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
MESSAGES = {
    "created": "created",
    "unchanged": "unchanged: it was deployed with these settings before",
    "replaced": "replaced: the old one is deleted",
    "paused": "paused",
    "resumed": "resumed; KFP now runs a time that was missed while it was paused",
}


def add_parser(commands: Commands) -> None:
    """Add the three commands."""
    parser = new_parser(commands, "schedule", "upload the pipeline of this commit and run it on a schedule", SCHEDULE_EXAMPLES)
    parser.add_argument(
        "--cron", required=True, metavar="EXPRESSION", help="minute hour day month weekday, or six fields with seconds first"
    )
    parser.add_argument("--name", default=PIPELINE, help="name of the schedule (default: %(default)s)")
    parser.add_argument("--pause", action="store_true", help="pause it; the same command without --pause resumes it")
    parser.add_argument("--catchup", action="store_true", help="after a pause run all missed times, not only the last one")
    add_release_options(parser)
    parser.set_defaults(run=_schedule)

    parser = new_parser(commands, "schedules", "list the schedules with their next and last runs", SHOW_EXAMPLES)
    add_server_options(parser)
    parser.set_defaults(run=_show)

    parser = new_parser(commands, "unschedule", "delete a schedule; runs that it has started continue, unless --now", REMOVE_EXAMPLES)
    parser.add_argument("name", metavar="NAME", help="name of the schedule, as `schedules` lists it")
    parser.add_argument("--now", action="store_true", help="also stop the runs that it has started")
    add_server_options(parser)
    parser.set_defaults(run=_unschedule)


def _schedule(options: argparse.Namespace) -> None:
    cron = parse_cron(options.cron)
    client, release = make_release(options)
    change = deploy(client, Schedule(options.name, cron, release, options.catchup, client.server_info().version, not options.pause))
    print(f"schedule '{options.name}' {MESSAGES[change]}\nversion {release.version}, cron {cron}")
    if not options.pause:
        print("next (UTC): " + ", ".join(islice(_next_times(cron), 3)))


def _unschedule(options: argparse.Namespace) -> None:
    client = connect_to_server(options)
    pipeline_id = find_pipeline(client, PIPELINE)
    existing = find(client, options.name, pipeline_id) if pipeline_id else []
    if not existing:
        raise InputError(options.name, "is not scheduled", "`kdflow pipeline schedules` lists the schedules")
    remove(client, existing)
    print(f"schedule '{options.name}' deleted")
    if options.now:
        for run in (run for recurring in existing for run in _runs(client, recurring, 100)):
            if run.state not in FINAL:
                print(f"run {run.run_id} {stop_run(client, run.run_id)}")


def _show(options: argparse.Namespace) -> None:
    client = connect_to_server(options)
    pipeline_id = find_pipeline(client, PIPELINE)
    found = [recurring for recurring in list_recurring_runs(client) if pipeline_id and pipeline_id_of(recurring) == pipeline_id]
    if not found:
        print("there are no schedules")
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    console.print(_table(client, sorted(found, key=lambda recurring: str(recurring.display_name))))
    for name, count in Counter(recurring.display_name for recurring in found).items():
        if count > 1:
            print(f"'{name}' is listed {count} times: a deployment was interrupted; run its `schedule` command again")


def _table(client: "Client", recurring_runs: list[Any]) -> Table:
    table = Table("name", "cron", "next (UTC)", "state", "version", "last run")
    for recurring in recurring_runs:
        cron = recurring.trigger.cron_schedule.cron if recurring.trigger and recurring.trigger.cron_schedule else ""
        state, next_time = ("enabled", _next_time(cron)) if is_enabled(recurring) else ("paused", "")
        table.add_row(recurring.display_name, cron, next_time, state, _version(client, recurring), _last_run(client, recurring))
    return table


def _next_time(cron: str) -> str:
    try:
        return next(_next_times(parse_cron(cron)))
    except InputError:  # created by hand, in a notation that only KFP has
        return "?"


def _next_times(cron: str) -> Iterator[str]:
    return (f"{time:%a %Y-%m-%d %H:%M}" for time in CronSim(cron, datetime.now(UTC)))


def _version(client: "Client", recurring: Any) -> str:
    reference = recurring.pipeline_version_reference
    if not reference.pipeline_version_id:
        return "the latest"
    try:
        return str(client.get_pipeline_version(reference.pipeline_id, reference.pipeline_version_id).display_name)
    except ServerError as error:
        if error.status != 404:
            raise
        return "deleted"


def _runs(client: "Client", recurring: Any, count: int) -> list[Any]:
    """The last runs that a schedule has started, at most `count`, newest first."""
    of_schedule = equals_filter("recurring_run_id", recurring.recurring_run_id)
    namespace = client.get_user_namespace()
    return client.list_runs(page_size=count, sort_by="created_at desc", namespace=namespace, filter=of_schedule).runs or []


def _last_run(client: "Client", recurring: Any) -> str:
    runs = _runs(client, recurring, 1)
    return f"{runs[0].state.lower()} {runs[0].created_at:%Y-%m-%d %H:%M}" if runs else "none yet"
