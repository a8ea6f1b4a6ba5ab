"""Notifications of moves of the champion. If a process is killed before it sends one, the next command that moves an alias does.

Nobody knows whether a command whose process was killed did its work. So a move is marked after its notification: none is lost, and
one is repeated if the process was killed while the command ran.
"""

import sys
import time
from typing import Any

from components.register_model.journal import Journal
from components.register_model.journal_entries import JournalEntry
from components.register_model.notify import TIMEOUT, notify

WAIT = TIMEOUT + 5
"""Seconds in which the process that made a move notifies of it, if it lives."""


def decision_message(event: str, model: str, version: str, previous: str, why: str) -> dict[str, Any]:
    """What the command receives. `event` is the decision of the gate or the action in the journal."""
    return {"event": event, "model": model, "version": version, "previous": previous, "why": why}


def notify_of_move(journal: Journal, command: str, entry: JournalEntry) -> None:
    """Run `command` for a move and record that."""
    notify(command, decision_message(entry.action, journal.registry.name, entry.version, entry.previous, entry.why))
    journal.mark_notified(entry)


def send_pending(journal: Journal, command: str) -> None:
    """Notify of the moves whose processes did not, after waiting as long as they may still do it."""
    for entry in journal.pending_notifications():
        if not _notified_meanwhile(journal, entry):
            notify_of_move(journal, command, entry)


def _notified_meanwhile(journal: Journal, entry: JournalEntry) -> bool:
    end = min(entry.when / 1000, time.time()) + WAIT  # the store may have another clock
    if time.time() < end:
        waiting = f"waiting up to {WAIT:g} seconds for another process to notify of entry {entry.number}"
        print(f"{journal.registry.name}: {waiting}", file=sys.stderr)
    while any(pending.token == entry.token for pending in journal.pending_notifications()):
        if time.time() >= end:
            return False
        time.sleep(1)
    return True
