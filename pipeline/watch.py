"""The command `watch`: notify somebody of failed runs, and of too long a time without a run that succeeded.

It is a process outside of the runs: a handler inside of one gets neither the name of the failed step nor its error, and does not run if
the workflow is terminated or deleted.
"""

import argparse
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from components.params.load import load_params
from components.register_model.notify import notify
from kd.arguments import number_type
from kd.errors import printable
from pipeline.cli import Commands, new_parser
from pipeline.cluster import load_cluster
from pipeline.release import PIPELINE, add_server_options, connect_to_server, find_pipeline
from pipeline.server_error import ServerError
from pipeline.status import read_status, step_names

if TYPE_CHECKING:
    from pipeline.client import Client

PAUSE = 60.0
"""Seconds between two looks at the runs."""
EXAMPLES = """  %(prog)s --days 8                                   until it is stopped, as in pipeline/manifests/watch.yaml
  %(prog)s --once --days 8 --notify "mail -s kdflow team@example.com"

The command of --notify gets a message in JSON on its standard input: {"event": "failed", "run", "run_id", "step", "error", "link"} for a
run that failed, {"event": "overdue", "days", "last", "link"} if no run succeeded for so many days. A stopped run has not failed.
exit codes of --once: 0 nothing to report, 1 something was reported"""
MAX_DAYS = 36_500
Message = dict[str, Any]


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "watch", "notify of failed runs, and if there is no good run for too long", EXAMPLES)
    parser.add_argument("--notify", metavar="COMMAND", help="shell command (default: register_model.notify in params.yaml)")
    parser.add_argument("--days", type=_days, metavar="N", help="notify if no run has succeeded for N days (default: never)")
    parser.add_argument(
        "--hours", type=_hours, default=24.0, metavar="N", help="at the start, report runs that failed in the last N hours (default: 24)"
    )
    parser.add_argument("--once", action="store_true", help="look once, for a cron job")
    add_server_options(parser)
    parser.set_defaults(run=_watch)


class RunWatcher:
    """What was reported, so that each failure is reported once, and a missing success once until there is one.

    Args:
        client: the server.
        since: earlier failures are not reported.
        max_age: the time without a success after which it is reported; None for never.
        lifetime: the longest time that a run can take.
    """

    def __init__(self, client: "Client", since: datetime, max_age: timedelta | None, lifetime: timedelta) -> None:
        self._client, self._since, self._max_age, self._lifetime = client, since, max_age, lifetime
        self._reported: set[tuple[str, datetime]] = set()  # of runs that may fail again after a retry
        self._is_overdue = False

    def check(self) -> list[Message]:
        """What there is to report now, oldest first.

        Raises:
            ServerError: if a request fails.
        """
        now = datetime.now(UTC)
        oldest = min(self._since, now - (self._max_age or timedelta()))
        runs = recent_runs(self._client, oldest - self._lifetime)
        failed = [run for run in runs if run.state == "FAILED" and run.finished_at > self._since]
        failed = [run for run in failed if (run.run_id, run.finished_at) not in self._reported]
        messages = [message for run in reversed(failed) if (message := failure_message(self._client, run.run_id))]
        self._reported |= {(run.run_id, run.finished_at) for run in failed}
        return messages + self._overdue(runs, now)

    def _overdue(self, runs: list[Any], now: datetime) -> list[Message]:
        if self._max_age is None:
            return []
        good = max((run.finished_at for run in runs if run.state == "SUCCEEDED"), default=None)
        was, self._is_overdue = self._is_overdue, good is None or good < now - self._max_age
        if was or not self._is_overdue:
            return []
        last = good.isoformat() if good else ""
        return [{"event": "overdue", "days": self._max_age / timedelta(days=1), "last": last, "link": self._client.link("runs")}]


def recent_runs(client: "Client", since: datetime) -> list[Any]:
    """The runs of the pipeline in the namespace that were created after `since`, newest first.

    Raises:
        ServerError: if a request fails.
    """
    pipeline_id, token = find_pipeline(client, PIPELINE), ""
    found: list[Any] = []
    while pipeline_id:
        page = client.list_runs(page_token=token, page_size=100, sort_by="created_at desc", namespace=client.get_user_namespace())
        found += [run for run in page.runs or () if run.created_at > since]
        token = page.next_page_token
        if not token or page.runs[-1].created_at <= since:
            break
    return [run for run in found if (of := run.pipeline_version_reference) and of.pipeline_id == pipeline_id]


def failure_message(client: "Client", run_id: str) -> Message | None:
    """The message about a run that failed: the steps, their error lines, and a link. None if somebody stopped the run.

    Raises:
        ServerError: if a request fails.
    """
    status = read_status(client, run_id, step_names(client, run_id))
    if status.state != "failed":
        return None
    failed = [step for step in status.steps if step.state == "failed"]
    error = "; ".join(step.error for step in failed) or status.error
    link = client.link(f"runs/details/{run_id}")
    return {
        "event": "failed",
        "run": status.name,
        "run_id": run_id,
        "step": ", ".join(step.name for step in failed),
        "error": error,
        "link": link,
    }


def describe(message: Message) -> str:
    """The message in one line."""
    if message["event"] == "overdue":
        return f"no run has succeeded for {message['days']:g} days (last: {message['last'] or 'unknown'})  {message['link']}"
    return f"run {message['run']} failed: {message['step'] or 'no step'}: {message['error']}  {message['link']}"


def _watch(options: argparse.Namespace) -> None:
    command = load_params().register_model.notify if options.notify is None else options.notify
    max_age = None if options.days is None else timedelta(days=options.days)
    since = datetime.now(UTC) - timedelta(hours=options.hours)
    lifetime = timedelta(seconds=load_cluster().run.deadline)
    watcher = RunWatcher(connect_to_server(options), since, max_age, lifetime)
    while True:
        try:
            messages = watcher.check()
        except ServerError as error:
            if options.once or not error.is_transient:
                raise
            print(f"{error}; retrying", file=sys.stderr, flush=True)
            messages = []
        for message in messages:
            print(printable(describe(message)), flush=True)
            if command:
                notify(command, message)
        if options.once:
            sys.exit(int(bool(messages)))
        time.sleep(PAUSE)


_days = number_type(float, lambda value: 0 < value <= MAX_DAYS, f"above 0 and at most {MAX_DAYS}")
_hours = number_type(float, lambda value: 0 <= value <= 24 * MAX_DAYS, f"in 0..{24 * MAX_DAYS}")
