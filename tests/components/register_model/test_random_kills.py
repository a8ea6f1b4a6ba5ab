"""A hundred promotions and rollbacks that are killed at random moments, and repeated."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from components.register_model import move_notifications
from components.register_model.promotion import Promotion
from components.register_model.registry import Registry
from kd.errors import InputError
from tests.components.stub_models import register, write_model

KILLS, SEED = 100, 0
COMMAND = "cat >> messages"
Work = Callable[[], Any]


def start(work: Work, result: Path | None = None) -> Any:
    """Run `work` in a new process, because a process must not use the database connections of its parent."""

    def child() -> None:
        value = work()
        if result:
            result.write_text(json.dumps(value))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    return process


def run(work: Work) -> Any:
    """The result of `work` in a new process, which must succeed."""
    result = Path("result.json")
    process = start(work, result)
    process.join()
    assert process.exitcode == 0
    return json.loads(result.read_text())


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with two versions, the first of which is the champion. This process imports what a move needs, and does not open it."""
    monkeypatch.setattr(move_notifications, "WAIT", 0)
    with monkeypatch.context() as context:
        context.setenv("MLFLOW_TRACKING_URI", "sqlite:///first.db")
        shutil.copyfile("mlflow.db", "first.db")
        for name, shares in (("a", (0.5, 0.5)), ("b", (0.8, 0.8))):
            register("m", write_model(Path(f"{name}.onnx"), shares))
        Promotion(Registry("m")).force("1", "the first")
    shutil.copyfile("first.db", "mlflow.db")


def promote(why: str) -> None:
    promotion = Promotion(Registry("m"), COMMAND)
    try:
        promotion.force("2", why)
    except InputError as error:
        assert "is the champion already" in str(error)


def roll_back(why: str) -> None:
    Promotion(Registry("m"), COMMAND).rollback(why, "2")


def read_state() -> dict[str, Any]:
    promotion = Promotion(Registry("m"))
    state = promotion.journal.sync_aliases()
    entries = [(entry.why, entry.notification) for entry in promotion.journal.entries()]
    return {"champion": promotion.registry.aliases()["champion"], "entries": entries[1:], "void": len(state.void)}


def count_entries() -> int:
    with closing(sqlite3.connect("mlflow.db")) as database:  # not read-only: a killed write is undone by the next who opens the file
        return int(database.execute("select count(*) from model_versions where name = 'm.journal'").fetchone()[0])


def wait_for_entry(count: int) -> float:
    """Wait until the journal has `count` entries. Returns the seconds."""
    started = time.monotonic()
    while count_entries() < count:
        time.sleep(0.001)
    return time.monotonic() - started


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_killed_move_that_is_repeated_is_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    chance, killed, after_entry, moves = random.Random(SEED), 0, 0, 0
    before, after = 1.0, 0.0  # seconds of a move up to its entry, and from there to its end
    while killed < KILLS:
        move, why = (roll_back if moves % 2 else promote), f"move {moves}"
        process = start(lambda move=move, why=why: move(why))
        if moves == 0:
            before, started = wait_for_entry(2), time.monotonic()
            process.join()
            after = time.monotonic() - started
        elif chance.random() < 0.5:
            process.join(chance.uniform(0, before))
        else:
            wait_for_entry(moves + 2)
            process.join(chance.uniform(0, after))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            killed += 1
            after_entry += count_entries() == moves + 2
        run(lambda move=move, why=why: move(why))
        moves += 1
        entries = [[f"move {number}", "sent"] for number in range(moves)]
        assert run(read_state) == {"champion": "1" if move is roll_back else "2", "entries": entries, "void": 0}, f"kill {killed}"
    messages = Counter(json.loads(line)["why"] for line in Path("messages").read_text().splitlines())
    assert set(messages) == {f"move {number}" for number in range(moves)}
    repeated = sum(messages.values()) - moves
    assert repeated <= after_entry, "a kill while the command runs repeats a message"
    with capsys.disabled():
        print(f"\n{killed} kills, {after_entry} after the entry; {moves} moves, each made once; {repeated} notifications repeated")
