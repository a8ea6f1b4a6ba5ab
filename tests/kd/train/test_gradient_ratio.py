"""The gradient ratio, and the warning if it is too large."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from kd.model.distributed import Processes
from kd.train.engine import EpochMetrics
from kd.train.gradient_ratio import MAX_RATIO, exceeds_max_ratio, gradient_ratio
from tests.kd.train.squares import job

ROOT = Path(__file__).parents[3]
LOW, HIGH = MAX_RATIO - 1, MAX_RATIO + 1


def test_the_gradient_ratio_is_that_of_the_norms() -> None:
    network = nn.Linear(2, 1, bias=False)
    weight = network.weight
    detection = {"box": (torch.tensor([[3.0, 0.0]]) * weight).sum(), "class": (torch.tensor([[0.0, 4.0]]) * weight).sum()}
    distillation = {"neck": (torch.tensor([[6.0, 8.0]]) * weight).sum(), "unrelated": torch.tensor(5.0, requires_grad=True) * 1}
    assert gradient_ratio(network, detection, distillation) == pytest.approx(10 / 5)
    assert weight.grad is None
    torch.stack(list(detection.values())).sum().backward()
    torch.testing.assert_close(weight.grad, torch.tensor([[3.0, 4.0]]))


@pytest.mark.parametrize(
    ("ratios", "warned"),
    [
        ([HIGH], []),
        ([HIGH, HIGH], [2]),
        ([HIGH, LOW, HIGH, LOW, HIGH], []),
        ([LOW, HIGH, HIGH, HIGH, LOW, HIGH, HIGH], [3]),
        ([MAX_RATIO] * 4, []),
    ],
)
def test_it_warns_once_after_a_whole_epoch(ratios: list[float], warned: list[int]) -> None:
    history = [{"epoch": epoch, "gradient_ratio": ratio} for epoch, ratio in enumerate(ratios, 1)]
    assert [epoch for epoch in range(1, len(history) + 1) if exceeds_max_ratio(history[:epoch])] == warned


def test_a_training_without_a_teacher_has_no_ratio() -> None:
    assert not exceeds_max_ratio([{"epoch": 1.0}, {"epoch": 2.0}])


@pytest.mark.parametrize(("times", "warnings"), [(1.0, 0), (100.0, 1)])
def test_a_training_warns_of_an_extreme_weight_but_not_of_the_default(
    squares: Path, single: Processes, tmp_path: Path, distill: Callable, times: float, warnings: int, capsys: pytest.CaptureFixture
) -> None:
    default = yaml.safe_load((ROOT / "params.yaml").read_text())["distill"]
    settings = {"weight": times * default["weight"], "schedule": default["schedule"]}

    def stopped(row: EpochMetrics) -> None:
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    training, build = job(squares, tmp_path / "a.pt", 6), distill(**settings)
    with pytest.raises(KeyboardInterrupt):
        training.run(single, build, stopped)
    training.run(single, build)  # resumes, and has warned already
    lines = [line for line in capsys.readouterr().err.splitlines() if "gradient of the distillation" in line]
    assert len(lines) == warnings
    assert all(line.startswith("warning: the gradient of the distillation is ") and line.endswith("lower distill.weight") for line in lines)
