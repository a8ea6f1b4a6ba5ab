"""How gradients become steps: accumulation, clipping, loss scaling, compilation."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from kd.errors import InputError
from kd.model.distributed import Processes
from kd.train.checkpoint import load_checkpoint
from kd.train.compile import compile_module
from kd.train.config import TrainConfig
from kd.train.ema import ModelEMA
from kd.train.optimizer import build_optimizer
from tests.kd.train.squares import job

Gradients = list[list[torch.Tensor]]


@pytest.fixture
def gradients(monkeypatch: pytest.MonkeyPatch) -> Gradients:
    """Those of each step of the optimizer, as it gets them."""
    recorded: Gradients = []

    def build(module: nn.ModuleList, config: TrainConfig) -> torch.optim.Optimizer:
        optimizer = build_optimizer(module, config)
        parameters = [p for p in module.parameters() if p.requires_grad]
        optimizer.register_step_pre_hook(lambda *_: recorded.append([p.grad.clone() for p in parameters if p.grad is not None]))
        return optimizer

    monkeypatch.setattr("kd.train.state.build_optimizer", build)
    return recorded


def norm(tensors: list[torch.Tensor]) -> float:
    return float(torch.stack([t.norm() for t in tensors]).norm())


@pytest.mark.parametrize(("accumulate", "groups"), [(2, [[0, 1], [2, 3]]), (3, [[0, 1, 2], [3]])])
def test_accumulated_gradients_are_the_mean_over_the_batches(
    squares: Path, single: Processes, tmp_path: Path, gradients: Gradients, accumulate: int, groups: list[list[int]]
) -> None:
    """The rest at the end of an epoch is a step of its own. With this learning rate the weights stay as they are."""
    settings = {"batch": 2, "lr": 1e-30, "optimizer": "sgd", "clip_norm": 1e9, "weight_decay": 0.0}
    job(squares, tmp_path / "a.pt", 1, **settings).run(single)
    batches = gradients.copy()
    gradients.clear()
    job(squares, tmp_path / "b.pt", 1, accumulate=accumulate, **settings).run(single)
    assert len(batches) == 4 and len(gradients) == len(groups)
    for found, group in zip(gradients, groups, strict=True):
        for index, value in enumerate(found):
            torch.testing.assert_close(value, torch.stack([batches[i][index] for i in group]).mean(dim=0), rtol=1e-2, atol=1e-4)


def test_the_average_counts_the_steps_of_the_optimizer(
    squares: Path, single: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    update = ModelEMA.update

    def record(self: ModelEMA, network: nn.Module, step: int) -> None:
        counted.append(step)
        update(self, network, step)

    monkeypatch.setattr(ModelEMA, "update", record)
    job(squares, tmp_path / "a.pt", 2, batch=2, accumulate=3).run(single)
    assert counted == [1, 2, 3, 4]


def test_the_network_and_the_adapters_are_clipped_apart(
    squares: Path, single: Processes, tmp_path: Path, gradients: Gradients, distill: Callable
) -> None:
    """Else the adapters' gradients, which are larger, would shrink the network's step."""
    network, _ = job(squares, tmp_path / "a.pt", 1, clip_norm=0.01).run(single, distill(weight=100.0))
    count = len([p for p in network.parameters()])
    assert gradients
    for found in gradients:
        assert len(found) > count
        assert norm(found[:count]) == pytest.approx(0.01, rel=1e-3)
        assert norm(found[count:]) == pytest.approx(0.01, rel=1e-3)


def test_a_frozen_backbone_does_not_shrink_the_step_of_the_other_parts(
    squares: Path, single: Processes, tmp_path: Path, gradients: Gradients
) -> None:
    network, _ = job(squares, tmp_path / "a.pt", 1, clip_norm=0.01, freeze_epochs=1).run(single)
    backbone = len([p for p in network.backbone.parameters()])
    assert gradients
    for found in gradients:
        assert len(found) == len([p for p in network.parameters()]) - backbone
        assert norm(found) == pytest.approx(0.01, rel=1e-3)


def test_float16_scales_the_loss_and_resumes_with_its_scale(squares: Path, single: Processes, tmp_path: Path) -> None:
    settings = {"precision": "fp16", "optimizer": "sgd", "lr": 1e-3}
    _, whole = job(squares, tmp_path / "whole.pt", 2, **settings).run(single)

    def stop(metrics: dict[str, float]) -> None:
        raise KeyboardInterrupt

    broken = job(squares, tmp_path / "broken.pt", 2, **settings)
    with pytest.raises(KeyboardInterrupt):
        broken.run(single, on_epoch=stop)
    state = load_checkpoint(tmp_path / "broken.pt")
    assert state and 0 < state["scaler"]["scale"] <= 2**16
    assert broken.run(single)[1] == whole


def test_an_overflow_in_float16_skips_the_step_and_halves_the_scale(
    squares: Path, single: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "GradScaler", partial(torch.GradScaler, init_scale=2.0**120))
    job(squares, tmp_path / "a.pt", 1, precision="fp16").run(single)
    state = load_checkpoint(tmp_path / "a.pt")
    assert state and state["scaler"]["scale"] == 2.0**118


def test_a_compiled_training_has_the_losses_of_an_ordinary_one(
    squares: Path, single: Processes, tmp_path: Path, distill: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without code generation, which takes minutes; the graphs of forward and backward pass are those of any compiler."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    histories = [job(squares, tmp_path / f"{c}.pt", 1, compile=c).run(single, distill(response=1.0))[1] for c in (False, True)]
    ordinary, compiled = histories
    assert compiled[0] == pytest.approx(ordinary[0], rel=1e-2)


@pytest.mark.slow
def test_a_compiled_module_computes_the_same(single: Processes) -> None:
    module = nn.Linear(3, 2)
    compiled = compile_module(module)
    inputs = torch.ones(4, 3)
    torch.testing.assert_close(compiled(inputs), module(inputs))
    assert compiled is not module


def test_a_machine_without_compiler_is_one_error(single: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> object:
        raise RuntimeError("Failed to find C compiler\nat some line")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(InputError, match=r"^train\.compile: is true, but this machine cannot compile \(Failed to find C compiler\)"):
        compile_module(nn.Linear(1, 1))
