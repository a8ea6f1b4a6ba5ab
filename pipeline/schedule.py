"""One schedule for a name, however often it is deployed and wherever a deployment was stopped.

KFP cannot change a recurring run, only create, enable, disable and delete it, and two may have one name. So a name's schedules are
the recurring runs with exactly this display name that run our pipeline, and a digest of the settings in the description tells
whether one of them is what is wanted. A switch from old to new goes

    create the new one, paused -> disable the old -> enable the new -> delete the old

and whatever a stopped deployment left behind, the next one goes on from there. What holds, also after a failure or SIGKILL anywhere:

- At no moment are two schedules of a name enabled: two trainings would race for the champion's place.
- At no moment has a name no schedule. None is ENABLED only between two requests, "disable the old" and "enable the new"; both are
  repeated, and if one of them still fails, the error says so. KFP counts the new one's moments from its creation, so one that passes
  in this gap is run as soon as it is enabled, by the same or by a later deployment. (One that passes in the second between creating
  and disabling may be run twice.)
- A deployment that ends without an error leaves exactly one schedule, enabled or paused as asked.

This takes one deployment of a name at a time. Runs that an old schedule has started go on: they are not deleted with it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kd.errors import InputError
from kd.files import digest_json
from pipeline.release import Release, named

if TYPE_CHECKING:
    from pipeline.client import Client

PAUSES = (1.0, 4.0)
"""Seconds before a change is asked for again."""


@dataclass(frozen=True)
class Schedule:
    """What is wanted.

    Args:
        name: which schedule it is.
        cron: six fields, seconds first.
        release: what each run is made of.
        catchup: whether to run every moment that was missed; otherwise the last one alone.
        enabled: whether it runs; otherwise it is paused.
    """

    name: str
    cron: str
    release: Release
    catchup: bool = False
    enabled: bool = True

    @property
    def description(self) -> str:
        """The digest of all settings but `enabled`, the only one that KFP can change later."""
        made = self.release
        settings = [self.cron, self.catchup, made.version_id, made.experiment_id, made.arguments, made.service_account]
        return f"version {made.version}, settings sha256 {digest_json(settings)}"


def deploy(client: "Client", wanted: Schedule) -> str:
    """Make `wanted` the one schedule of its name.

    Returns:
        What was done: created, replaced, paused, resumed or unchanged.

    Raises:
        InputError: if another pipeline has a schedule of this name, or if the switch was stopped half way.
        ServerError: if the server refuses or does not answer; the same call goes on from there.
    """
    existing = find(client, wanted.name, wanted.release.pipeline_id)
    fitting = [schedule for schedule in existing if schedule.description == wanted.description]
    chosen = fitting[0] if fitting else _create(client, wanted, enabled=wanted.enabled and not existing)
    others = [schedule for schedule in existing if schedule is not chosen]
    switched = is_enabled(chosen) != wanted.enabled
    _switch(client, chosen if switched else None, others, wanted)
    _delete(client, others)
    if not fitting or others:
        return "replaced" if others else "created"
    return ("resumed" if wanted.enabled else "paused") if switched else "unchanged"


def remove(client: "Client", name: str, pipeline_id: str) -> int:
    """Stop and delete all schedules of a name; how many there were.

    Raises:
        ServerError: if the server refuses or does not answer; the same call goes on from there.
    """
    existing = find(client, name, pipeline_id)
    _disable(client, existing)
    _delete(client, existing)
    return len(existing)


def find(client: "Client", name: str, pipeline_id: str) -> list[Any]:
    """The recurring runs of a name, newest first.

    Raises:
        InputError: if one of this name runs another pipeline.
    """
    found = list_all(client, named(name))
    strange = [schedule for schedule in found if pipeline_of(schedule) != pipeline_id]
    if strange:
        problem = f"another pipeline has a schedule '{name}' (recurring run {strange[0].recurring_run_id})"
        raise InputError("--name", problem, "choose another name, or delete that one in KFP's user interface")
    return found


def list_all(client: "Client", wanted: str | None = None) -> list[Any]:
    """All recurring runs of the namespace that fit the filter `wanted`, newest first, page by page."""
    found: list[Any] = []
    token = ""
    while True:
        page = client.list_recurring_runs(
            page_token=token, page_size=100, sort_by="created_at desc", namespace=client.get_user_namespace(), filter=wanted
        )
        found += page.recurring_runs or ()
        token = page.next_page_token
        if not token:
            return found


def pipeline_of(schedule: Any) -> str | None:
    """The id of the pipeline that a recurring run runs; None if it holds a specification of its own."""
    reference = schedule.pipeline_version_reference
    return str(reference.pipeline_id) if reference else None


def is_enabled(schedule: Any) -> bool:
    """Whether a recurring run runs."""
    return bool(schedule.status == "ENABLED")


def _create(client: "Client", wanted: Schedule, enabled: bool) -> Any:
    made = wanted.release
    return client.create_recurring_run(
        made.experiment_id,
        wanted.name,
        description=wanted.description,
        cron_expression=wanted.cron,
        max_concurrency=1,
        no_catchup=not wanted.catchup,
        params=made.arguments,
        pipeline_id=made.pipeline_id,
        version_id=made.version_id,
        enabled=enabled,
        service_account=made.service_account,
    )


def _switch(client: "Client", chosen: Any | None, others: list[Any], wanted: Schedule) -> None:
    """Disable the others; then enable or disable the chosen one, if it is not yet what is wanted."""
    from pipeline.client import ServerError

    try:
        _disable(client, others)
        if chosen and wanted.enabled:
            _insist(client.enable_recurring_run, chosen)
        elif chosen:
            _disable(client, [chosen])
    except ServerError as error:
        raise InputError(f"schedule '{wanted.name}'", f"may be paused now ({error})", "run the same command again") from None


def _disable(client: "Client", schedules: list[Any]) -> None:
    for schedule in filter(is_enabled, schedules):
        _insist(client.disable_recurring_run, schedule)


def _insist(change: Callable[[str], object], schedule: Any) -> None:
    """Ask for a change that may be asked for twice, until it is confirmed or there is no hope."""
    from pipeline.client import ServerError

    for pause in (*PAUSES, None):
        try:
            change(schedule.recurring_run_id)
            return
        except ServerError as error:
            if pause is None or not error.passing:
                raise
            time.sleep(pause)


def _delete(client: "Client", schedules: list[Any]) -> None:
    for schedule in schedules:
        # kfp.Client cannot say ORPHAN, and without it Kubernetes deletes the runs that the schedule has started
        client.recurring_runs.recurring_run_service_delete_recurring_run(schedule.recurring_run_id, propagation_policy="ORPHAN")
