"""The losses of a training, and how the distillation's gradient is measured against the detection's."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from kd.data.dataset import DetectionData
from kd.data.loader import Batch
from kd.detection.loss import DetectionLoss
from kd.distillation.compute_maps import letterboxed
from kd.model.build import build_model
from kd.train.distributed import Group
from kd.train.fit import Lesson, fit
from kd.train.objective import Objective, autocast_dtype, gradient_ratio
from tests.kd.train.squares import SIDE, job, spec_for

CPU = torch.device("cpu")


@pytest.fixture
def batch(squares: Path) -> Batch:
    return next(iter(letterboxed(DetectionData(squares / "train", SIDE), 4, CPU, "")))


def objective(autocast: torch.dtype | None = None) -> Objective:
    spec = spec_for()
    return Objective(build_model(spec), DetectionLoss(spec.anchors, SIDE), None, autocast)


def test_the_gradient_ratio_is_that_of_the_norms() -> None:
    network = nn.Linear(2, 1, bias=False)
    weight = network.weight
    detection = {"box": (torch.tensor([[3.0, 0.0]]) * weight).sum(), "class": (torch.tensor([[0.0, 4.0]]) * weight).sum()}
    taught = {"neck": (torch.tensor([[6.0, 8.0]]) * weight).sum(), "unrelated": torch.tensor(5.0, requires_grad=True) * 1}
    assert gradient_ratio(network, detection, taught) == pytest.approx(10 / 5)
    assert weight.grad is None
    torch.stack(list(detection.values())).sum().backward()
    torch.testing.assert_close(weight.grad, torch.tensor([[3.0, 4.0]]))


def test_without_a_teacher_there_is_the_detection_loss_alone(batch: Batch) -> None:
    detection, taught = objective().train()(batch, 0.0)
    assert set(detection) == {"box", "objectness", "class"} and taught == {}


def test_mixed_precision_is_close_and_gives_float32_losses(batch: Batch) -> None:
    exact, mixed = (objective(autocast).train()(batch, 0.0)[0] for autocast in (None, torch.bfloat16))
    for name, term in exact.items():
        assert mixed[name].dtype == torch.float32 and not torch.equal(mixed[name], term)
        torch.testing.assert_close(mixed[name], term, rtol=0.05, atol=0)


@pytest.mark.parametrize(("precision", "expected"), [("fp32", None), ("bf16", torch.bfloat16)])
def test_precision_can_be_chosen(precision: str, expected: torch.dtype | None) -> None:
    assert autocast_dtype(precision, CPU) == expected


@pytest.mark.parametrize("native", [True, False])
def test_auto_takes_what_the_machine_multiplies_in(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    assert autocast_dtype("auto", CPU) == (torch.bfloat16 if native else None)


def test_baseline_and_distillation_begin_alike(squares: Path, alone: Group, tmp_path: Path, lesson: Callable[..., Lesson]) -> None:
    """The first step's detection terms are equal to the bit: student, batch and arithmetic are the same."""
    trainings = [job(squares, tmp_path / f"{name}.pt", 1, batch=8) for name in ("baseline", "stored", "live")]
    lessons = (None, lesson(), lesson(live=True))
    rows = [fit(training, alone, lambda row: None, taught)[1][0] for training, taught in zip(trainings, lessons, strict=True)]
    for row in rows[1:]:
        assert [row[name] for name in ("box", "objectness", "class")] == [rows[0][name] for name in ("box", "objectness", "class")]
        assert row["distill_neck_16"] > 0 and row["gradient_ratio"] > 0
    assert "gradient_ratio" not in rows[0]
