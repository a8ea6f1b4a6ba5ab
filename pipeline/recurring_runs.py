"""Deploy a schedule: afterwards there is exactly one schedule of its name, also if earlier deployments were interrupted.

KFP can create, enable, disable and delete a recurring run, but not change it, and names of recurring runs are not unique. So the
schedules of a name are all recurring runs of our pipeline with this display name. The description contains a digest of the
settings, which shows whether a recurring run is up to date. To replace one,

    create the new one, paused -> disable the old one -> enable the new one -> delete the old one

The next deployment completes an interrupted one. Guarantees, also after a failed request or SIGKILL at any point:

- At most one schedule of a name is enabled at any time, because two trainings would race to register the champion.
- Once deployed, a name has at least one schedule at any time. None is enabled only between "disable the old one" and "enable the
  new one". Both requests are retried, and if one still fails, the error says so. KFP counts the times of the new one from its
  creation, so a time within this gap is run as soon as it is enabled, by this or a later deployment. (A time in the second between
  creation and disabling may be run twice.)
- A deployment that ends without an error leaves exactly one schedule, enabled or paused as requested.

Only one deployment of a name may run at a time. Runs that the old schedule has started continue: they are not deleted with it.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kd.errors import InputError
from kd.files import digest_json
from pipeline.release import Release, name_filter
from pipeline.server_error import ServerError

if TYPE_CHECKING:
    from pipeline.client import Client

RETRY_DELAYS = (1.0, 4.0)
"""Seconds before each retry of a change."""


@dataclass(frozen=True)
class Schedule:
    """The settings of a schedule.

    Args:
        name: the display name.
        cron: a cron expression with six fields, seconds first.
        release: the release to run.
        catchup: whether to run all missed times instead of only the last one.
        server: the server's version: a schedule keeps the driver and launcher of the server that created it.
        enabled: whether it is enabled; otherwise it is paused.
    """

    name: str
    cron: str
    release: Release
    catchup: bool = False
    server: str = "unknown"
    enabled: bool = True

    @property
    def description(self) -> str:
        """The versions of pipeline and server, and a digest of all settings but `enabled`, the only one that KFP can change."""
        release = self.release
        settings = [self.cron, self.catchup, release.version_id, release.experiment_id, release.arguments, release.service_account]
        return f"version {release.version}, server {self.server}, settings sha256 {digest_json(settings)}"


def deploy(client: "Client", schedule: Schedule) -> str:
    """Make `schedule` the only schedule of its name.

    Returns:
        "created", "replaced", "paused", "resumed" or "unchanged".

    Raises:
        InputError: if another pipeline has a schedule of this name, or if the schedule may be paused after a failed request.
        ServerError: if another request fails; call again to continue.
    """
    existing = find(client, schedule.name, schedule.release.pipeline_id)
    up_to_date = [recurring for recurring in existing if recurring.description == schedule.description]
    chosen = up_to_date[0] if up_to_date else _create(client, schedule, enabled=schedule.enabled and not existing)
    outdated = [recurring for recurring in existing if recurring is not chosen]
    changed = is_enabled(chosen) != schedule.enabled
    try:
        _disable(client, outdated if schedule.enabled else [*outdated, chosen])
        if changed and schedule.enabled:
            _retry(client.enable_recurring_run, chosen)
    except ServerError as error:
        raise InputError(f"schedule '{schedule.name}'", f"may be paused now ({error})", "run the same command again") from None
    _delete(client, outdated)
    if not up_to_date or outdated:
        return "replaced" if outdated else "created"
    return ("resumed" if schedule.enabled else "paused") if changed else "unchanged"


def remove(client: "Client", recurring_runs: list[Any]) -> None:
    """Disable and delete schedules; the runs that they have started continue.

    Raises:
        ServerError: if a request fails; call again to continue.
    """
    _disable(client, recurring_runs)
    _delete(client, recurring_runs)


def find(client: "Client", name: str, pipeline_id: str) -> list[Any]:
    """The recurring runs with this name, newest first.

    Raises:
        InputError: if one of them runs another pipeline.
    """
    found = list_recurring_runs(client, name_filter(name))
    foreign = [recurring for recurring in found if pipeline_id_of(recurring) != pipeline_id]
    if foreign:
        problem = f"another pipeline has a schedule '{name}' (recurring run {foreign[0].recurring_run_id})"
        raise InputError("--name", problem, "choose another name, or delete that one in KFP's user interface")
    return found


def list_recurring_runs(client: "Client", filter: str | None = None) -> list[Any]:
    """All recurring runs of the namespace that match `filter`, newest first."""
    found: list[Any] = []
    token = ""
    while True:
        page = client.list_recurring_runs(
            page_token=token, page_size=100, sort_by="created_at desc", namespace=client.get_user_namespace(), filter=filter
        )
        found += page.recurring_runs or ()
        token = page.next_page_token
        if not token:
            return found


def server_of(recurring: Any) -> str:
    """The version of the server that created a recurring run, as its description says; "unknown" if it does not."""
    found = re.search(r", server ([^,]*), settings", recurring.description or "")
    return found[1] if found else "unknown"


def pipeline_id_of(recurring: Any) -> str | None:
    """The pipeline id of a recurring run; None if it contains its own specification."""
    reference = recurring.pipeline_version_reference
    return str(reference.pipeline_id) if reference else None


def is_enabled(recurring: Any) -> bool:
    """Whether a recurring run is enabled."""
    return bool(recurring.status == "ENABLED")


def _create(client: "Client", schedule: Schedule, enabled: bool) -> Any:
    release = schedule.release
    return client.create_recurring_run(
        release.experiment_id,
        schedule.name,
        description=schedule.description,
        cron_expression=schedule.cron,
        max_concurrency=1,
        no_catchup=not schedule.catchup,
        params=release.arguments,
        pipeline_id=release.pipeline_id,
        version_id=release.version_id,
        enabled=enabled,
        service_account=release.service_account,
    )


def _disable(client: "Client", recurring_runs: list[Any]) -> None:
    """Disable those that are enabled."""
    for recurring in filter(is_enabled, recurring_runs):
        _retry(client.disable_recurring_run, recurring)


def _retry(change: Callable[[str], object], recurring: Any) -> None:
    """Make an idempotent change, with retries after transient errors."""
    for delay in (*RETRY_DELAYS, None):
        try:
            change(recurring.recurring_run_id)
            return
        except ServerError as error:
            if delay is None or not error.is_transient:
                raise
            time.sleep(delay)


def _delete(client: "Client", recurring_runs: list[Any]) -> None:
    for recurring in recurring_runs:
        # kfp.Client has no propagation policy; without ORPHAN, Kubernetes deletes the runs that the schedule has started
        client.recurring_runs.recurring_run_service_delete_recurring_run(recurring.recurring_run_id, propagation_policy="ORPHAN")
