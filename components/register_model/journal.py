"""Who is the champion, decided without a lock: a journal, and its replay.

MLflow moves an alias without asking what it meant before, so two promotions at once could undo each other unseen. But a store
numbers the versions of a registered model one after the other, each number once. So every move is first written down as a
version of a second registered model, `<name>.journal`: what it moved from, to what, who and why. The state is the replay of
these entries in their order. A move that started from a version that was no longer the champion is void, and of two promotions
at once exactly one is valid. The aliases follow the replay: whoever moves them reads the journal again afterwards, and goes on
until it has not grown. So a writer that comes late repairs what it did, and one that was killed is repaired by the next command.
"""

import getpass
import os
import sys
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from components.register_model.registry import Registry
from kd.errors import InputError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Action = Literal["register", "adopt", "promote", "force", "rollback"]
CHAMPION, CHALLENGER = "champion", "challenger"
FIELDS = ("action", "previous", "version", "who", "why", "token")
PREFIX = "kdflow."
ABOUT = "kdflow's journal of '{}': each version is one move of an alias. `kdflow history` reads it; do not change or delete it."


class Entry(NamedTuple):
    """A move of an alias: of @challenger for "register", else of @champion.

    Attributes:
        action: "register", "promote" (through the gate), "force" (past it), "rollback", or "adopt": set before there was a journal.
        previous: the champion that it was decided against; "" for none.
        version: where the alias goes.
        who: the person or pipeline.
        why: the reason.
        token: tells an entry from its double, which a retried request leaves.
        when: milliseconds since 1970, UTC, by the store's clock.
    """

    action: Action
    previous: str
    version: str
    who: str
    why: str
    token: str
    when: int = 0


class State(NamedTuple):
    """What a journal amounts to.

    Attributes:
        reign: the champions, each the one that the next took over from; a rollback takes the last one away.
        challenger: the version registered last; "" for none.
        void: tokens of the entries that came too late.
    """

    champions: tuple[str, ...] = ()
    challenger: str = ""
    void: frozenset[str] = frozenset()

    @property
    def champion(self) -> str:
        """The version in production; "" for none."""
        return self.champions[-1] if self.champions else ""


def replay(entries: Iterable[Entry]) -> State:
    """Follow the entries in their order."""
    state = State()
    for entry in entries:
        state = _after(state, entry)
    return state


def reference_version(entries: Sequence[Entry], version: str) -> str:
    """The version that `version` is judged against: the champion or, if it is the champion itself, the one it took over from.

    So a step that runs again after its promotion comes to the same decision. "" where there is none.
    """
    state = replay(entries)
    if state.champion != version:
        return state.champion
    crowned = (e for e in reversed(entries) if e.version == version and e.action in ("promote", "force") and e.token not in state.void)
    return next((entry.previous for entry in crowned), "")


def rolled_back(entries: Sequence[Entry], version: str) -> Entry | None:
    """The rollback that ended the last reign of a version; None if it has not ended so."""
    void = replay(entries).void
    for entry in reversed([entry for entry in entries if entry.token not in void]):
        if entry.action == "rollback" and entry.previous == version:
            return entry
        if entry.action in ("promote", "force") and entry.version == version:
            return None
    return None


class Journal:
    """The journal of a registered model."""

    def __init__(self, registry: Registry) -> None:
        self.registry, self.name = registry, f"{registry.name}.journal"

    def entries(self) -> list[Entry]:
        """All entries, oldest first, each once."""
        first: dict[str, Entry] = {}
        for version in self.registry.search(self.name, {}):
            entry = _entry(version)
            first.setdefault(entry.token, entry)
        return list(first.values())

    def append(self, action: Action, previous: str, version: str, why: str) -> bool:
        """Write a move down and let the aliases follow; False if another one was faster, so that this one is void."""
        token = uuid.uuid4().hex
        self._write(Entry(action, previous, version, current_user(), why, token))
        return token not in self._follow().void

    def pending_action(self) -> str:
        """The last valid move of the champion, such as "rollback", if @champion has not followed it yet; else ""."""
        entries = self.entries()
        state = replay(entries)
        if self.registry.aliases().get(CHAMPION, "") == state.champion:
            return ""
        return next((e.action for e in reversed(entries) if e.action != "register" and e.token not in state.void), "")

    def sync_aliases(self) -> State:
        """Let the aliases be what the journal says, and return that; every command that looks at them begins with this."""
        aliases = self.registry.aliases()
        if aliases.get(CHAMPION) and not self.entries():
            why = "was the champion before there was a journal"
            self._write(Entry("adopt", "", aliases[CHAMPION], current_user(), why, uuid.uuid4().hex))
        state = self._follow()
        if aliases.get(CHAMPION, state.champion) != state.champion:
            line = f"@{CHAMPION} was at version {aliases[CHAMPION]}, put back to {state.champion}, as the journal says"
            print(f"{self.registry.name}: {line}", file=sys.stderr)
        return state

    def _follow(self) -> State:
        entries = self.entries()
        while True:
            state = replay(entries)
            for alias, version in ((CHAMPION, state.champion), (CHALLENGER, state.challenger)):
                self._point(alias, version)
            seen, entries = len(entries), self.entries()
            if len(entries) == seen:
                return state

    def _write(self, entry: Entry) -> None:
        registry = self.registry
        registry.create(self.name, ABOUT.format(registry.name))
        tags = {PREFIX + field: getattr(entry, field) for field in FIELDS}
        with registry.faults():
            registry.client.create_model_version(self.name, f"models:/{registry.name}/{entry.version}", tags=tags)

    def _point(self, alias: str, version: str) -> None:
        from mlflow.exceptions import MlflowException

        if not version or version == self.registry.aliases().get(alias):
            return
        with self.registry.faults():
            try:
                self.registry.client.set_registered_model_alias(self.registry.name, alias, version)
            except MlflowException as error:  # somebody may have deleted the version; that must not stop the move to another
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise


def current_user() -> str:
    """Who acts: `KDFLOW_USER`, else the user of this process."""
    try:
        return os.environ.get("KDFLOW_USER") or getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number without a name
        return f"user {os.getuid()}"


def _after(state: State, entry: Entry) -> State:
    if entry.action == "register":
        return state._replace(challenger=entry.version)
    back = state.champions[:-1]
    if entry.previous != state.champion or (entry.action == "rollback" and (not back or back[-1] != entry.version)):
        return state._replace(void=state.void | {entry.token})
    return state._replace(champions=back if entry.action == "rollback" else (*state.champions, entry.version))


def _entry(version: "ModelVersion") -> Entry:
    fields = {field: version.tags.get(PREFIX + field, "") for field in FIELDS}
    if fields["action"] not in get_args(Action):
        raise InputError(f"{version.name} version {version.version}", "is no entry that kdflow wrote", "delete that version")
    return Entry(**fields, when=int(version.creation_timestamp))  # type: ignore[arg-type]
