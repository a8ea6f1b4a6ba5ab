"""Remove rejected versions and the runs of finished executions by their age; never what a rollback or an approval may need."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from components.register_model.journal import Journal
from components.register_model.journal_entries import find_rollback, replay_entries
from components.register_model.registry import Registry, Version
from components.register_model.version_card import GATE_TAG
from components.runtime.execution import EXECUTION_TAG
from components.runtime.store import experiment_name
from kd.errors import InputError

if TYPE_CHECKING:
    from mlflow.entities import Run

PARENT_TAG = "mlflow.parentRunId"
UNFINISHED = ("RUNNING", "SCHEDULED")


class Execution(NamedTuple):
    """The runs of an execution, its parent run first."""

    runs: list["Run"]

    @property
    def ended(self) -> int:
        """When the last run ended, in milliseconds since 1970, UTC."""
        return max(int(run.info.end_time or run.info.start_time) for run in self.runs)

    def __str__(self) -> str:
        """Such as "execution 4711-1.00 (dvc repro), 8 runs, ended on 2026-05-01"."""
        parent = self.runs[0]
        return f"execution {parent.data.tags[EXECUTION_TAG]} ({parent.info.run_name}), {len(self.runs)} runs, ended on {_day(self.ended)}"


class PruneList(NamedTuple):
    """What `remove` removes."""

    versions: list[Version]
    executions: list[Execution]


def find_removable(journal: Journal, before: int) -> PruneList:
    """The rejected versions that were registered, and the executions that ended, before `before` (milliseconds since 1970, UTC).

    An execution is kept as a whole if a version that is kept, of any registered model, belongs to one of its runs.

    Raises:
        InputError: if entries of the journal are missing, because then nobody knows which champions a rollback may need.
    """
    versions = [version for version in _rejected(journal) if version.created < before]
    numbers, registry = {version.number for version in versions}, journal.registry
    with registry.wrap_errors():
        of_versions = _pages(lambda token: registry.client.search_model_versions(page_token=token))
        kept = {version.run_id for version in of_versions if version.name != registry.name or str(version.version) not in numbers}
    executions = [execution for execution in _finished_executions(registry) if execution.ended < before]
    return PruneList(versions, [one for one in executions if not kept.intersection(run.info.run_id for run in one.runs)])


def remove(journal: Journal, removable: PruneList) -> None:
    """Remove the versions that are still rejected and unused, and mark the runs as deleted; MLflow can restore runs until `mlflow gc`."""
    registry = journal.registry
    for version in removable.versions:
        if version.number in {rejected.number for rejected in _rejected(journal)}:  # it may have been promoted in the meantime
            with registry.wrap_errors(ignore="RESOURCE_DOES_NOT_EXIST"):
                registry.client.delete_model_version(registry.name, version.number)
    for run in (run for execution in removable.executions for run in reversed(execution.runs)):
        with registry.wrap_errors(ignore="RESOURCE_DOES_NOT_EXIST"):
            registry.client.delete_run(run.info.run_id)


def describe(registry: Registry, removable: PruneList) -> Iterator[str]:
    """One line for each version and execution."""
    for version in removable.versions:
        yield f"{registry.name} version {version.number}, rejected, registered on {_day(version.created)}"
    yield from map(str, removable.executions)


def _rejected(journal: Journal) -> list[Version]:
    """The versions that the gate rejected, without those that have an alias, that a rollback can restore, or that were rolled back.

    The gate recognizes the content of a version that was rolled back only as long as the version exists.
    """
    if missing := journal.missing_numbers():
        problem = f"the journal has no entry {missing[0]}, so the champions that a rollback may need are not known"
        raise InputError(journal.registry.name, problem, 'run `kdflow registry settle --reason "..."` first')
    entries = journal.entries()
    state = replay_entries(entries)
    rolled_back = {entry.previous for entry in entries if find_rollback(entries, entry.previous)}
    needed = {*state.champions, state.challenger, *rolled_back}
    versions = journal.registry.versions()
    return [v for v in versions if v.tags.get(GATE_TAG) == "reject" and not v.aliases and v.number not in needed]


def _finished_executions(registry: Registry) -> list[Execution]:
    """The executions in the experiment of this project of which no run is unfinished."""
    with registry.wrap_errors():
        experiment = registry.client.get_experiment_by_name(experiment_name())
        if not experiment:
            return []
        groups: defaultdict[str, list[Run]] = defaultdict(list)
        for run in _pages(lambda token: registry.client.search_runs([experiment.experiment_id], page_token=token)):
            groups[run.data.tags.get(PARENT_TAG, run.info.run_id)].append(run)
    executions = [Execution(sorted(runs, key=lambda run: PARENT_TAG in run.data.tags)) for runs in groups.values()]
    return [
        execution
        for execution in executions
        if EXECUTION_TAG in execution.runs[0].data.tags and not any(run.info.status in UNFINISHED for run in execution.runs)
    ]


def _pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """The entries of all pages of a search."""
    page = search(None)
    yield from page
    while page.token:
        page = search(page.token)
        yield from page


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d")
