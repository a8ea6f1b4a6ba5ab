"""The training loop: it learns, goes on after a kill, repeats itself to the byte, and stops where it diverges."""

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kd.data.augment import AugmentConfig
from kd.detection.decode import Candidates
from kd.errors import InputError
from kd.files import digest
from kd.model.build import build_model
from kd.model.store import save_model
from kd.train.checkpoint import load_checkpoint
from kd.train.distributed import Group
from kd.train.fit import Fit, Lesson, fit
from kd.train.loop import Row, TrainingDiverged, build_optimizer
from tests.kd.train.squares import job, spec_for

VARIED = AugmentConfig(mosaic=0.5, flip=0.5, scale=0.3, translate=0.1, color=0.3, close_mosaic=0.25)


class Killed(Exception):
    pass


def killer(epoch: int) -> Callable[[Row], None]:
    def on_epoch(row: Row) -> None:
        if row["epoch"] == epoch:
            raise Killed

    return on_epoch


def train(
    training: Fit, alone: Group, lesson: Lesson | None = None, on_epoch: Callable[[Row], None] = lambda row: None
) -> tuple[str, list]:
    """The digest of the model, and its history."""
    network, history = fit(training, alone, on_epoch, lesson)
    file = training.checkpoint.with_suffix(".safetensors")
    save_model(file, network, training.spec)
    return digest(file), history


def test_the_loss_falls_and_the_squares_are_found(squares: Path, alone: Group, tmp_path: Path) -> None:
    told: list[Row] = []
    training = job(squares, tmp_path / "a.pt", 60, ema_decay=0.9, evaluate_every=30, lr=0.01)
    network, history = fit(training, alone, told.append)
    losses = [row["box"] + row["objectness"] + row["class"] for row in history]
    assert losses[-1] < 0.25 * losses[0]
    assert not network.training
    assert told == history and [row["epoch"] for row in history] == list(range(1, 61))
    assert [row["epoch"] for row in history if "val_map50" in row] == [30, 60]
    assert history[-1]["val_map50"] > 0.3


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("taught", [False, True])
def test_a_killed_training_goes_on_to_the_same_bytes(
    squares: Path, alone: Group, tmp_path: Path, lesson: Callable[..., Lesson], taught: bool, optimizer: str, capsys: pytest.CaptureFixture
) -> None:
    teacher = lesson(schedule="cosine") if taught else None
    settings = {"augment": VARIED, "warmup_epochs": 1.0, "optimizer": optimizer, "lr": 2e-3}
    whole = train(job(squares, tmp_path / "whole.pt", 4, **settings), alone, teacher)
    broken = job(squares, tmp_path / "broken.pt", 4, **settings)
    with pytest.raises(Killed):
        train(broken, alone, teacher, killer(2))
    assert "going on" not in capsys.readouterr().err
    assert train(broken, alone, teacher) == whole
    assert "train: going on after epoch 2 of 4\n" in capsys.readouterr().err


def test_a_training_that_had_ended_gives_its_result_again(squares: Path, alone: Group, tmp_path: Path) -> None:
    training = job(squares, tmp_path / "a.pt", 2)
    told: list[Row] = []
    assert train(training, alone) == train(training, alone, on_epoch=told.append)
    assert told == []


def test_two_trainings_are_the_same_to_the_byte(squares: Path, alone: Group, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = train(job(squares, tmp_path / "a.pt", 2, VARIED), alone)
    torch.manual_seed(2)
    assert train(job(squares, tmp_path / "b.pt", 2, VARIED), alone) == first
    assert train(job(squares, tmp_path / "c.pt", 2, VARIED, seed=1), alone) != first


def test_workers_change_nothing(squares: Path, alone: Group, tmp_path: Path, lesson: Callable[..., Lesson]) -> None:
    results = [train(job(squares, tmp_path / f"{n}.pt", 2, VARIED, workers=n), alone, lesson()) for n in (0, 2)]
    assert results[0] == results[1]


@pytest.mark.parametrize("step", [0, 3])
def test_a_loss_that_is_not_finite_stops_the_training(
    squares: Path, alone: Group, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(100))

    def broken(self: object, found: Candidates, batch: object) -> dict:
        return {"box": found.objectness.sum() * 0 + (math.nan if next(calls) == step else 1.0)}

    monkeypatch.setattr("kd.detection.loss.DetectionLoss.__call__", broken)
    with pytest.raises(TrainingDiverged, match=rf"not finite in epoch {step // 2 + 1}, step {step % 2 + 1} \(box nan\)"):
        fit(job(squares, tmp_path / "a.pt", 3), alone, lambda row: None)
    state = load_checkpoint(tmp_path / "a.pt")
    assert len(state["history"] if state else []) == step // 2


def test_a_learning_rate_out_of_reason_is_noticed(squares: Path, alone: Group, tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="epoch"):
        fit(job(squares, tmp_path / "a.pt", 20, lr=1e30, optimizer="sgd"), alone, lambda row: None)


def test_a_broken_checkpoint_stops_it(squares: Path, alone: Group, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"a\.pt: is no checkpoint"):
        fit(job(squares, tmp_path / "a.pt", 2), alone, lambda row: None)


def test_the_teacher_is_not_part_of_what_is_kept(squares: Path, alone: Group, tmp_path: Path, lesson: Callable[..., Lesson]) -> None:
    teacher = lesson()
    before = {name: value.clone() for name, value in teacher.teacher.state_dict().items()}
    network, _ = fit(job(squares, tmp_path / "a.pt", 1), alone, lambda row: None, teacher)
    assert all(torch.equal(value, before[name]) for name, value in teacher.teacher.state_dict().items())
    kept = load_checkpoint(tmp_path / "a.pt")["objective"]
    assert {name.split(".")[0] for name in kept} == {"network", "teaching"}
    assert all("adapter" in name for name in kept if name.startswith("teaching"))
    assert not any("adapter" in name for name in network.state_dict())


def test_a_teacher_of_other_classes_is_refused(squares: Path, alone: Group, tmp_path: Path, lesson: Callable[..., Lesson]) -> None:
    other = replace(lesson(), spec=replace(spec_for("yolov3"), classes=("red", "green")))
    with pytest.raises(InputError, match="teacher: has other classes"):
        fit(job(squares, tmp_path / "a.pt", 1), alone, lambda row: None, other)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_only_kernels_decay(name: str, kind: type, squares: Path, tmp_path: Path) -> None:
    network = build_model(spec_for())
    optimizer = build_optimizer(network, job(squares, tmp_path, 1, optimizer=name, weight_decay=0.1).training)
    assert isinstance(optimizer, kind)
    kernels, others = optimizer.param_groups
    assert kernels["weight_decay"] == 0.1 and {p.ndim for p in kernels["params"]} == {4}
    assert others["weight_decay"] == 0.0 and {p.ndim for p in others["params"]} == {1}
    assert len(kernels["params"]) + len(others["params"]) == len(list(network.parameters()))


def test_a_training_without_a_lesson_runs_nothing_of_the_distillation(
    squares: Path, alone: Group, tmp_path: Path, lesson: Callable[..., Lesson]
) -> None:
    """dvc.yaml counts on it: a new formula of the map trains no teacher anew."""
    teacher = lesson()

    def called(*trainings: Lesson | None) -> set[str]:
        seen = set()
        sys.setprofile(lambda frame, event, argument: seen.add(frame.f_code.co_filename) if event == "call" else None)
        try:
            for taught in trainings:
                fit(job(squares, tmp_path / f"{taught is None}.pt", 1), alone, lambda row: None, taught)
        finally:
            sys.setprofile(None)
        return {Path(file).name for file in seen if Path(file).parent.name == "distillation"}

    assert called(None) == set()
    assert called(teacher) >= {"feature.py", "teaching.py", "map_store.py"}
