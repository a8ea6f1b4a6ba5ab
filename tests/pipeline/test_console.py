import io
from pathlib import Path

import pytest

from pipeline.console import ConsoleOutput, StepResult, results_table

SAID = """\
13:00:00.000 - INFO - Executing task \x1b[96m'train-teacher'\x1b[0m
13:00:00.000 - INFO - Streamed logs:

    [KFP Executor 2026-01-01 13:00:01,000 INFO]: Got executor_input:
    {
        "inputs": {}
    }
    going on after epoch 3
    [KFP Executor 2026-01-01 13:00:02,000 INFO]: noise
    error: data: is broken; correct it

13:00:03.000 - INFO - Task \x1b[96m'train-teacher'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m
"""


@pytest.fixture
def console(tmp_path: Path) -> ConsoleOutput:
    return ConsoleOutput(tmp_path, io.StringIO())


def shown(console: ConsoleOutput) -> str:
    stream = console._stream
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_a_step_is_followed_however_its_text_is_cut(console: ConsoleOutput, piece: int) -> None:
    for start in range(0, len(SAID), piece):
        console.write(SAID[start : start + piece])
    assert console.current == "train_teacher" and console.steps["train_teacher"].state == "failed"
    assert console.error == "data: is broken; correct it"
    assert "going on after epoch 3" in shown(console)
    assert not any(word in shown(console) for word in ("KFP", "inputs", "Streamed", "\x1b"))
    assert '"inputs": {}' in console.log("train_teacher").read_text(), "the log has everything"


def test_a_step_from_the_cache(console: ConsoleOutput) -> None:
    console.write("Task prepare-data cache hit (key=0123456789ab); skipping execution.\n")
    assert console.steps == {"prepare_data": StepResult("cached", 0.0)}
    assert "prepare_data: unchanged" in shown(console)


def test_a_new_attempt_forgets_the_last_ones_error_and_log(console: ConsoleOutput) -> None:
    console.write(SAID)
    console.write(SAID.splitlines()[0] + "\n")
    assert console.error == "" and console.log("train_teacher").read_text() == ""


def test_the_table_has_a_row_a_step() -> None:
    table = results_table(
        {"prepare_data": StepResult("ran", 1.25), "evaluate": StepResult("cached", 0.0)}, {"prepare_data": "0123456789abcdef0123"}
    )
    assert [list(column.cells) for column in table.columns] == [
        ["prepare_data", "evaluate"],
        ["ran", "cached"],
        ["1.2", "0.0"],
        ["0123456789abcdef", ""],
    ]


def test_logs_are_private_and_without_passwords(console: ConsoleOutput) -> None:
    console.log("train_teacher").write_text("of an older release")
    console.write(SAID.replace("going on", "clone https://ada:secret@git.example.org/data.git"))
    assert console.log("train_teacher").stat().st_mode & 0o777 == 0o600
    for text in (console.log("train_teacher").read_text(), shown(console)):
        assert "secret" not in text and "https://***@git.example.org/data.git" in text
