"""The warning of a distillation that pulls too hard."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kd.train.distributed import Group
from kd.train.fit import Lesson, fit
from kd.train.guard import TOO_HARD, pulls_too_hard
from kd.train.loop import Row
from tests.kd.train.squares import job

ROOT = Path(__file__).parents[3]
LOW, HIGH = TOO_HARD - 1, TOO_HARD + 1


@pytest.mark.parametrize(
    ("ratios", "warned"),
    [
        ([HIGH], []),
        ([HIGH, HIGH], [2]),
        ([HIGH, LOW, HIGH, LOW, HIGH], []),
        ([LOW, HIGH, HIGH, HIGH, LOW, HIGH, HIGH], [3]),
        ([TOO_HARD] * 4, []),
    ],
)
def test_it_warns_once_after_a_whole_epoch(ratios: list[float], warned: list[int]) -> None:
    history = [{"epoch": epoch, "gradient_ratio": ratio} for epoch, ratio in enumerate(ratios, 1)]
    assert [epoch for epoch in range(1, len(history) + 1) if pulls_too_hard(history[:epoch])] == warned


def test_a_training_without_a_teacher_has_no_ratio() -> None:
    assert not pulls_too_hard([{"epoch": 1.0}, {"epoch": 2.0}])


@pytest.mark.parametrize(("times", "warnings"), [(1.0, 0), (100.0, 1)])
def test_a_training_warns_of_an_absurd_weight_and_not_of_the_default(
    squares: Path, alone: Group, tmp_path: Path, lesson: Callable[..., Lesson], times: float, warnings: int, capsys: pytest.CaptureFixture
) -> None:
    default = yaml.safe_load((ROOT / "params.yaml").read_text())["distill"]
    settings = {"weight": times * default["weight"], "schedule": default["schedule"]}

    def stopped(row: Row) -> None:
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    training, teacher = job(squares, tmp_path / "a.pt", 6), lesson(**settings)
    with pytest.raises(KeyboardInterrupt):
        fit(training, alone, stopped, teacher)
    fit(training, alone, lambda row: None, teacher)  # goes on, and has warned already
    lines = [line for line in capsys.readouterr().err.splitlines() if "times as hard as detection" in line]
    assert len(lines) == warnings
    assert all(line.startswith("warning: distillation pulls ") and line.endswith("lower distill.weight") for line in lines)
