"""The entries of the journal of champions, and what they say: replayed in order, they give the current champion.

An entry that was decided against a version that is no longer the champion is void, so exactly one of two promotions at once is valid.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Action = Literal["register", "adopt", "promote", "force", "rollback", "settle"]


class JournalEntry(NamedTuple):
    """A move of an alias: of @challenger for "register", otherwise of @champion.

    Attributes:
        action: "register", "promote" (passed the gate), "force" (without the gate), "rollback", or "adopt": the champion was set
            before the journal existed; or "settle": entries are missing, and the champion stays the version with the alias.
        previous: the champion when the move was decided; "" for none.
        version: the version that the alias moves to.
        who: the person or pipeline that made the move.
        why: the reason.
        token: unique id of the entry; two entries with the same one come from a retried request.
        missing: for "settle", the numbers of the missing entries, separated by spaces.
        notification: "pending" until others were notified of the move, then "sent"; "" if nobody is notified.
        when: milliseconds since 1970, UTC, by the clock of the store.
        number: its number in the store.
    """

    action: Action
    previous: str
    version: str
    who: str
    why: str
    token: str
    missing: str = ""
    notification: str = ""
    when: int = 0
    number: int = 0


class JournalState(NamedTuple):
    """The result of replaying a journal.

    Attributes:
        champions: the current champion, last, and the ones that a rollback returns to; a rollback removes the last one.
        challenger: the version registered last; "" for none.
        void: tokens of the entries that have no effect.
    """

    champions: tuple[str, ...] = ()
    challenger: str = ""
    void: frozenset[str] = frozenset()

    @property
    def champion(self) -> str:
        """The version in production; "" for none."""
        return self.champions[-1] if self.champions else ""


def replay_entries(entries: Iterable[JournalEntry]) -> JournalState:
    """Apply the entries in their order."""
    state = JournalState()
    for entry in entries:
        state = _apply(state, entry)
    return state


def reference_version(entries: Sequence[JournalEntry], version: str) -> str:
    """The version to compare `version` with: the champion or, if `version` is the champion, its predecessor; "" for none.

    So a step that runs again after its model was promoted makes the same decision.
    """
    state = replay_entries(entries)
    if state.champion != version:
        return state.champion
    moves = (e for e in reversed(entries) if e.version == version != e.previous and e.token not in state.void)
    return next((entry.previous for entry in moves if entry.action in ("promote", "force", "settle")), "")


def find_rollback(entries: Sequence[JournalEntry], version: str) -> JournalEntry | None:
    """The rollback of `version` if no promotion of it followed, otherwise None."""
    void = replay_entries(entries).void
    for entry in reversed([entry for entry in entries if entry.token not in void]):
        if entry.action == "rollback" and entry.previous == version:
            return entry
        if entry.action in ("promote", "force") and entry.version == version:
            return None
    return None


def _apply(state: JournalState, entry: JournalEntry) -> JournalState:
    if entry.action == "register":
        return state._replace(challenger=entry.version)
    before = state.champions[:-1]
    if entry.previous != state.champion or (entry.action == "rollback" and (not before or before[-1] != entry.version)):
        return state._replace(void=state.void | {entry.token})
    if entry.action == "settle" and entry.version == state.champion:
        return state
    return state._replace(champions=before if entry.action == "rollback" else (*state.champions, entry.version))
