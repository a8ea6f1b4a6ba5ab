"""The history of a training."""

from pathlib import Path

import pytest

from components.evaluate.report.models import read_history
from kd.errors import InputError
from tests.components.trained import HISTORY


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "is missing"), (HISTORY.replace("box", "fox"), "lacks a column"), (HISTORY + "3,many\n", "is not a table of numbers")],
)
def test_an_invalid_history_is_refused(tmp_path: Path, content: str | None, problem: str) -> None:
    file = tmp_path / "history.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=problem):
        read_history(file)
