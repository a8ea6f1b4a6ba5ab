"""The commands `schedule`, `schedules` and `unschedule`."""

import argparse
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from kd.errors import InputError
from pipeline.cli import Commands, new_parser
from pipeline.cron import Cron, parse_cron
from pipeline.release import PIPELINE, add_release_options, add_server_options, connected, filtered, find_pipeline, make_release
from pipeline.schedule import Schedule, deploy, is_enabled, list_all, pipeline_of, remove

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.client import Client

SCHEDULE_EXAMPLES = """  python -m pipeline schedule --cron "0 3 * * 1"                     every Monday at three
  python -m pipeline schedule --cron @weekly --data-rev main --name fresh
  python -m pipeline schedule --cron "0 3 * * 1" --pause             pause it; without --pause it goes on

A name has one schedule. The same settings change nothing; others replace it, and no moment is lost. Times are those of the
cluster, which is UTC if nobody has set CRON_SCHEDULE_TIMEZONE there."""
SHOW_EXAMPLES = "  python -m pipeline schedules"
REMOVE_EXAMPLES = "  python -m pipeline unschedule fresh"
DONE = {
    "created": "created",
    "unchanged": "unchanged: it was deployed with these settings before",
    "replaced": "replaced: the old one is gone",
    "paused": "paused",
    "resumed": "resumed; if a moment passed meanwhile, KFP runs it now",
}


def add_parser(commands: Commands) -> None:
    """Add the three commands."""
    parser = new_parser(commands, "schedule", "upload this commit's pipeline and run it on a schedule", SCHEDULE_EXAMPLES)
    parser.add_argument("--cron", required=True, metavar="EXPRESSION", help="minute hour day month weekday; six fields begin with seconds")
    parser.add_argument("--name", default=PIPELINE, help="which schedule it is (default: %(default)s)")
    parser.add_argument("--pause", action="store_true", help="keep it from running; the same command without --pause resumes it")
    parser.add_argument("--catchup", action="store_true", help="after a pause run every missed moment, not the last one alone")
    add_release_options(parser)
    parser.set_defaults(run=_schedule)

    parser = new_parser(commands, "schedules", "what is scheduled, when it runs next and how it ended last", SHOW_EXAMPLES)
    add_server_options(parser)
    parser.set_defaults(run=_show)

    parser = new_parser(commands, "unschedule", "stop and delete a schedule; what it has started goes on", REMOVE_EXAMPLES)
    parser.add_argument("name", metavar="NAME", help="as `schedules` shows it")
    add_server_options(parser)
    parser.set_defaults(run=_unschedule)


def _schedule(options: argparse.Namespace) -> None:
    cron = parse_cron(options.cron)
    client, made = make_release(options)
    done = deploy(client, Schedule(options.name, cron.text, made, options.catchup, not options.pause))
    print(f"schedule '{options.name}' {DONE[done]}\nversion {made.version}, cron {cron.text}")
    if not options.pause:
        print("next (UTC): " + ", ".join(islice(_moments(cron), 3)))


def _unschedule(options: argparse.Namespace) -> None:
    client = connected(options)
    pipeline_id = find_pipeline(client, PIPELINE)
    if pipeline_id is None or not remove(client, options.name, pipeline_id):
        raise InputError(options.name, "is not scheduled", "`python -m pipeline schedules` lists what is")
    print(f"schedule '{options.name}' deleted")


def _show(options: argparse.Namespace) -> None:
    from rich.console import Console

    client = connected(options)
    pipeline_id = find_pipeline(client, PIPELINE)
    found = [schedule for schedule in list_all(client) if pipeline_id and pipeline_of(schedule) == pipeline_id]
    if not found:
        print("nothing is scheduled")
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    console.print(_table(client, sorted(found, key=lambda schedule: str(schedule.display_name))))
    for name, count in Counter(schedule.display_name for schedule in found).items():
        if count > 1:
            print(f"'{name}' stands here {count} times: a deployment was stopped half way; run its `schedule` command again")


def _table(client: "Client", schedules: list[Any]) -> "Table":
    from rich.table import Table

    table = Table("name", "cron", "next (UTC)", "state", "version", "last run")
    for schedule in schedules:
        enabled = is_enabled(schedule)
        cron = schedule.trigger.cron_schedule.cron if schedule.trigger and schedule.trigger.cron_schedule else ""
        state = "enabled" if enabled else "paused"
        table.add_row(
            schedule.display_name, cron, _next(cron) if enabled else "", state, _version(client, schedule), _last_run(client, schedule)
        )
    return table


def _next(cron: str) -> str:
    try:
        return next(_moments(parse_cron(cron)))
    except InputError:  # somebody made it by hand, in a notation that is KFP's own
        return "?"


def _moments(cron: Cron) -> Iterator[str]:
    return (f"{moment:%a %Y-%m-%d %H:%M}" for moment in cron.after(datetime.now(UTC)))


def _version(client: "Client", schedule: Any) -> str:
    from pipeline.client import ServerError

    reference = schedule.pipeline_version_reference
    if not reference.pipeline_version_id:
        return "the latest"
    try:
        return str(client.get_pipeline_version(reference.pipeline_id, reference.pipeline_version_id).display_name)
    except ServerError as error:
        if error.status != 404:
            raise
        return "deleted"


def _last_run(client: "Client", schedule: Any) -> str:
    wanted = filtered("recurring_run_id", schedule.recurring_run_id)
    runs = client.list_runs(page_size=1, sort_by="created_at desc", namespace=client.get_user_namespace(), filter=wanted).runs
    return f"{runs[0].state.lower()} {runs[0].created_at:%Y-%m-%d %H:%M}" if runs else "none yet"
