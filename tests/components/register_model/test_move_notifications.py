"""Every move is notified of once, also if the process that made it was killed."""

import json
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.register_model import move_notifications
from components.register_model import promotion as promotion_module
from components.register_model.journal import SENT
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from components.registry.commands import main
from tests.components.register_model.test_killed_promotion import KilledClient
from tests.components.stores import enter_project, new_store

COMMAND = "cat >> messages"
PROMOTION = {"event": "force", "model": "kdflow-student", "version": "2", "previous": "1", "why": "better"}
ROLLBACK = {"event": "rollback", "model": "kdflow-student", "version": "1", "previous": "2", "why": "by hand"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with two versions, of which the first is the champion."""
    enter_project(tmp_path, monkeypatch)
    new_store(tmp_path)
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("notify: ''", f"notify: {COMMAND}"))
    monkeypatch.setattr(promotion_module, "load_version", lambda *_: None)
    monkeypatch.setattr(move_notifications, "WAIT", 0)
    registry = Registry("kdflow-student")
    registry.create_model(registry.name)
    for _ in range(2):
        registry.client.create_model_version(registry.name, "runs:/0/model")
    Promotion(registry).force("1", "the first")


def messages() -> list[Any]:
    return [json.loads(line) for line in Path("messages").read_text().splitlines()] if Path("messages").exists() else []


def run_killed(move: Callable[[Promotion], object], last: int) -> bool:
    """Run `move` in a process that is killed after its `last`-th write. Returns whether it was killed."""

    def child() -> None:
        registry = Registry("kdflow-student")
        registry.client = KilledClient(registry.client, last)  # type: ignore[assignment]
        move(Promotion(registry, COMMAND))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    return process.exitcode != 0


@pytest.mark.parametrize("command", ["settle", "promote 2 --force --reason again", "rollback 2"])
def test_a_promotion_that_a_later_command_finishes_is_notified_of_once(command: str) -> None:
    killed, expected = 0, [PROMOTION, *([ROLLBACK] if command == "rollback 2" else [])]
    while run_killed(lambda promotion: promotion.force("2", "better"), killed + 1):
        killed += 1
        for _ in range(2):
            with pytest.raises(SystemExit) as caught:
                main(command.split())
            assert caught.value.code == 0
        assert messages() == expected, f"killed after write {killed}"
        Path("messages").unlink()
        if command != "rollback 2":
            Promotion(Registry("kdflow-student")).rollback("the next trial")
    assert killed == 4, "the entry, the alias, the newest number and the notification"


def test_a_process_that_is_about_to_notify_is_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(move_notifications, "WAIT", 30)
    slow, other = (Promotion(Registry("kdflow-student"), COMMAND) for _ in range(2))
    entry = slow.journal.append("force", "1", "2", "better", notify=True)
    assert entry
    timer = threading.Timer(1, move_notifications.notify_of_move, (slow.journal, COMMAND, entry))
    timer.start()
    other.sync_aliases()
    timer.join()
    assert messages() == [PROMOTION] and slow.journal.entries()[-1].notification == SENT
    assert capsys.readouterr().err == "kdflow-student: waiting up to 30 seconds for another process to notify of entry 2\n"


def test_nobody_is_notified_of_void_moves_and_of_those_without_a_command() -> None:
    promotion = Promotion(Registry("kdflow-student"), COMMAND)
    assert promotion.journal.append("promote", "", "2", "too late", notify=True) is None
    promotion.sync_aliases()
    assert promotion.journal.entries()[0].notification == "" and messages() == []
