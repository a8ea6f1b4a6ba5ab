"""The journal of champions: a log of every move of an alias, from which the current champion is computed without a lock.

MLflow sets an alias without comparing its old value, so two promotions at once could overwrite each other unnoticed. But MLflow
numbers the versions of a registered model consecutively. So every move is first appended as a version of a second registered
model, `<name>.journal`, with the old and new champion, who made it and why; `journal_entries` computes the state from them.

The aliases are set to the replayed state. After setting them, the journal is read again until it has no new entries. So a slow
writer corrects its own mistake, and the next move completes what an interrupted one left undone.
"""

import getpass
import os
import sys
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from components.register_model.journal_entries import Action, JournalEntry, JournalState, replay_entries
from components.register_model.registry import Registry
from kd.errors import InputError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
FIELDS = ("action", "previous", "version", "who", "why", "token", "missing", "notification")
OPTIONAL = ("missing", "notification")
PREFIX = "kdflow."
PENDING, SENT = "pending", "sent"
NEWEST_TAG = "kdflow.newest"
"""The tag of the journal with the number of its newest entry, so that somebody who deletes that entry is noticed."""
DESCRIPTION = "kdflow's journal of '{}': each version is one move of an alias. `kdflow registry history` reads it; do not change it."

SETTLE_MISSING = '`kdflow registry settle --reason "..."` accepts that, and the champion stays the version with the alias'


class Journal:
    """The journal of a registered model."""

    def __init__(self, registry: Registry) -> None:
        self.registry, self.name = registry, f"{registry.name}.journal"

    def entries(self) -> list[JournalEntry]:
        """All entries, oldest first, without duplicates from retried requests."""
        by_token: dict[str, JournalEntry] = {}
        for version in self.registry.search(self.name, {}):
            if entry := _read_entry(version):
                by_token.setdefault(entry.token, entry)
        return list(by_token.values())

    def missing_numbers(self) -> list[int]:
        """The numbers of the entries that were deleted and not accepted by `settle`."""
        tags: dict[str, str] = {}
        with self.registry.wrap_errors(ignore="RESOURCE_DOES_NOT_EXIST"):
            tags = self.registry.client.get_registered_model(self.name).tags
        versions = self.registry.search(self.name, {})  # after the tag, because another process may append an entry in between
        numbers = {int(version.version) for version in versions}
        accepted = {int(number) for version in versions for number in version.tags.get(f"{PREFIX}missing", "").split()}
        newest = max([*numbers, int(tags.get(NEWEST_TAG, 0))], default=0)
        return sorted(set(range(1, newest + 1)) - numbers - accepted)

    def find_problems(self) -> list[str]:
        """What differs between the journal and the aliases, and entries that are missing or not from kdflow; one line each."""
        name, aliases, state = self.registry.name, self.registry.aliases(), replay_entries(self.entries())
        lines = [
            f"entry {version.version} of {self.name} is not from kdflow and is ignored"
            for version in self.registry.search(self.name, {})
            if not _read_entry(version)
        ]
        if missing := self.missing_numbers():
            return [*lines, f"{_missing_entries(self.name, missing)}; {SETTLE_MISSING}"]
        for alias, version in ((CHAMPION, state.champion), (CHALLENGER, state.challenger)):
            if version and aliases.get(alias) != version:
                actual = f"version {aliases[alias]}" if alias in aliases else "not set"
                lines.append(f"@{alias} of {name} is {actual}, but version {version} in the journal; `kdflow registry settle` sets it")
        return lines

    def append(self, action: Action, previous: str, version: str, why: str, notify: bool = False) -> JournalEntry | None:
        """Append a move and update the aliases. Returns None if the move is void because another one came first.

        With `notify`, the entry records that others are to be notified; see `pending_notifications`.
        """
        token = uuid.uuid4().hex
        self._write(JournalEntry(action, previous, version, current_user(), why, token, notification=PENDING if notify else ""))
        if token in self._update_aliases().void:
            return None
        return next(entry for entry in self.entries() if entry.token == token)

    def pending_notifications(self) -> list[JournalEntry]:
        """The valid moves of which nobody was notified yet, oldest first."""
        entries = self.entries()
        void = replay_entries(entries).void
        return [entry for entry in entries if entry.notification == PENDING and entry.token not in void]

    def mark_notified(self, entry: JournalEntry) -> None:
        """Record that others were notified of a move."""
        with self.registry.wrap_errors():
            self.registry.client.set_model_version_tag(self.name, str(entry.number), f"{PREFIX}notification", SENT)

    def pending_action(self) -> str:
        """The last valid move of the champion, such as "rollback", if @champion was not updated after it; otherwise ""."""
        entries = self.entries()
        state = replay_entries(entries)
        if self.registry.aliases().get(CHAMPION, "") == state.champion:
            return ""
        return next((e.action for e in reversed(entries) if e.action != "register" and e.token not in state.void), "")

    def sync_aliases(self) -> JournalState:
        """Set the aliases to the state of the journal and return it. Every command that moves one calls this first.

        Raises:
            InputError: if entries are missing, because then the state is not known.
        """
        if missing := self.missing_numbers():
            raise InputError(self.registry.name, f"{_missing_entries(self.name, missing)}, so nothing is changed", SETTLE_MISSING)
        aliases = self.registry.aliases()
        if aliases.get(CHAMPION) and not self.entries():
            why = "was the champion before there was a journal"
            self._write(JournalEntry("adopt", "", aliases[CHAMPION], current_user(), why, uuid.uuid4().hex))
        state = self._update_aliases()
        if aliases.get(CHAMPION, state.champion) != state.champion:
            line = f"@{CHAMPION} was version {aliases[CHAMPION]}, set back to {state.champion} as in the journal"
            print(f"{self.registry.name}: {line}", file=sys.stderr)
        return state

    def settle(self, why: str) -> JournalState:
        """Set the aliases to the state of the journal. If entries are missing, the version with the alias stays the champion."""
        if missing := self.missing_numbers():
            previous = replay_entries(self.entries()).champion
            champion = self.registry.aliases().get(CHAMPION, previous)
            accepted = " ".join(map(str, missing))
            self._write(JournalEntry("settle", previous, champion, current_user(), why, uuid.uuid4().hex, accepted))
        return self.sync_aliases()

    def _update_aliases(self) -> JournalState:
        entries = self.entries()
        while True:
            state = replay_entries(entries)
            for alias, version in ((CHAMPION, state.champion), (CHALLENGER, state.challenger)):
                self._set_alias(alias, version)
            count, entries = len(entries), self.entries()
            if len(entries) == count:
                if entries:
                    self._set_newest(entries[-1].number)
                return state

    def _set_newest(self, number: int) -> None:
        """Record the number of the newest entry. A slower process may record an older one, which hides nothing but a deletion."""
        with self.registry.wrap_errors():
            if self.registry.client.get_registered_model(self.name).tags.get(NEWEST_TAG) != str(number):
                self.registry.client.set_registered_model_tag(self.name, NEWEST_TAG, str(number))

    def _write(self, entry: JournalEntry) -> None:
        registry = self.registry
        registry.create_model(self.name, DESCRIPTION.format(registry.name))
        tags = {PREFIX + field: value for field in FIELDS if (value := getattr(entry, field)) or field not in OPTIONAL}
        source = entry.version or next(iter(registry.aliases().values()), "1")
        with registry.wrap_errors():
            registry.client.create_model_version(self.name, f"models:/{registry.name}/{source}", tags=tags)

    def _set_alias(self, alias: str, version: str) -> None:
        if not version or version == self.registry.aliases().get(alias):
            return
        with self.registry.wrap_errors(ignore="RESOURCE_DOES_NOT_EXIST"):  # a deleted champion must not prevent a move to another version
            self.registry.client.set_registered_model_alias(self.registry.name, alias, version)


def current_user() -> str:
    """`KDFLOW_USER` if set, otherwise the user of this process."""
    try:
        return os.environ.get("KDFLOW_USER") or getpass.getuser()
    except (OSError, KeyError):  # in a container the user id may have no name
        return f"user {os.getuid()}"


def _missing_entries(name: str, numbers: Sequence[int]) -> str:
    plural = "entries {} are" if len(numbers) > 1 else "entry {} is"
    return f"{plural.format(', '.join(map(str, numbers)))} missing in {name}"


def _read_entry(version: "ModelVersion") -> JournalEntry | None:
    """The entry in a version of the journal; None if it is not from kdflow."""
    fields = {field: version.tags.get(PREFIX + field, "") for field in FIELDS}
    if fields["action"] not in get_args(Action):
        return None
    return JournalEntry(**fields, when=int(version.creation_timestamp), number=int(version.version))  # type: ignore[arg-type]
