import math

import pytest
import torch
from torch import nn

from kd.train.divergence import DivergenceCheck, TrainingDiverged, check_weights
from kd.train.progress import TrainingProgress

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
