"""A loss or a weight that is not finite stops a training, and is not saved."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from kd.detection.decode import Candidates
from kd.model.distributed import Processes
from kd.train.checkpoint import load_checkpoint
from kd.train.divergence import DivergenceCheck, TrainingDiverged, check_weights
from kd.train.progress import TrainingProgress
from tests.kd.train.squares import job

CPU = torch.device("cpu")


def updated(*losses: float) -> DivergenceCheck:
    check = DivergenceCheck(4, CPU)
    for step, loss in enumerate(losses):
        terms = {"box": torch.tensor(loss), "class": torch.tensor(1.0 + step)}
        check.update(step, torch.stack(list(terms.values())).sum(), terms)
    return check


def test_the_first_step_that_is_not_finite_is_named_with_its_terms() -> None:
    with pytest.raises(TrainingDiverged, match=r"epoch 5, step 3 \(box inf, class 3\)"):
        updated(1.0, 2.0, math.inf, math.nan, 1.0).raise_if_diverged()
    updated().raise_if_diverged()
    updated(1.0, 2.0).raise_if_diverged()


@pytest.mark.parametrize("every", [0.0, 1000.0])
def test_a_progress_line_reads_the_check(every: float) -> None:
    progress = TrainingProgress("train", 5, 10, 2, 0, enabled=True)
    progress.progress.interval = every
    if every:
        progress.step(4, {}, updated(math.nan))
    else:
        with pytest.raises(TrainingDiverged):
            progress.step(4, {}, updated(math.nan))


@pytest.mark.parametrize("name", ["weight", "running_var"])
def test_weights_and_buffers_are_checked(name: str) -> None:
    module = nn.BatchNorm2d(4)
    check_weights([module], 0, 7)
    module.state_dict()[name][2] = math.inf
    with pytest.raises(TrainingDiverged, match="a weight is not finite in epoch 2, step 7"):
        check_weights([nn.Linear(1, 1), module], 1, 7)


@pytest.mark.parametrize("step", [0, 3])
def test_a_loss_that_is_not_finite_stops_the_training(
    squares: Path, single: Processes, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(100))

    def broken(self: object, candidates: Candidates, batch: object) -> dict:
        return {"box": candidates.objectness.sum() * 0 + (math.nan if next(calls) == step else 1.0)}

    monkeypatch.setattr("kd.detection.loss.DetectionLoss.forward", broken)
    with pytest.raises(TrainingDiverged, match=rf"not finite in epoch {step // 2 + 1}, step {step % 2 + 1} \(box nan\)"):
        job(squares, tmp_path / "a.pt", 3).run(single)
    state = load_checkpoint(tmp_path / "a.pt")
    assert len(state["history"] if state else []) == step // 2


@pytest.mark.parametrize("step", [1, 3])
def test_no_checkpoint_has_a_weight_that_is_not_finite(
    squares: Path, single: Processes, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of the last step of an epoch is finite, but its gradient is not."""
    calls = iter(range(100))

    def broken(self: object, candidates: Candidates, batch: object) -> dict:
        zero = candidates.objectness.sum() * 0
        return {"box": zero.sqrt() if next(calls) == step else zero + 1.0}

    monkeypatch.setattr("kd.detection.loss.DetectionLoss.forward", broken)
    with pytest.raises(TrainingDiverged, match=f"a weight is not finite in epoch {step // 2 + 1}, step 2"):
        job(squares, tmp_path / "a.pt", 3).run(single)
    state = load_checkpoint(tmp_path / "a.pt")
    assert len(state["history"] if state else []) == step // 2


def test_an_absurd_learning_rate_is_noticed(squares: Path, single: Processes, tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="epoch"):
        job(squares, tmp_path / "a.pt", 20, lr=1e30, optimizer="sgd").run(single)
