"""The training loop: it learns, resumes after a kill, is reproducible to the byte, and stops if it diverges."""

import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.operators import count_operators
from components.distill_student.step import distill_student
from components.params.load import load_params
from components.runtime.tracking import NullRun
from kd.data.augment import AugmentConfig
from kd.data.dataset import DetectionData
from kd.data.loader import TrainingDataset
from kd.detection.loss import DetectionLoss
from kd.distillation import loss as distillation_loss
from kd.distillation.feature_loss import feature_loss
from kd.distillation.loss import DistillConfig
from kd.distillation.setup import build_distillation
from kd.errors import InputError
from kd.files import digest, read_json, write_json
from kd.model.build import Network, build_model
from kd.model.distributed import Processes
from kd.model.store import save_model
from kd.train.checkpoint import load_checkpoint
from kd.train.config import TrainConfig
from kd.train.engine import BuildDistillation, EpochMetrics, train_one_epoch
from kd.train.progress import TrainingProgress
from kd.train.state import build_state
from tests.kd.train.squares import SIDE, Job, job, spec_for
from tests.packed import replace_picture

ROOT = Path(__file__).parents[3]
VARIED = AugmentConfig(mosaic=0.5, flip=0.5, scale=0.3, translate=0.1, color=0.3, close_mosaic=0.25)
MAX_CALLS = 5


class Killed(Exception):
    pass


def killer(epoch: int) -> Callable[[EpochMetrics], None]:
    def on_epoch(metrics: EpochMetrics) -> None:
        if metrics["epoch"] == epoch:
            raise Killed

    return on_epoch


def train(
    training: Job,
    single: Processes,
    distill: BuildDistillation | None = None,
    on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None,
) -> tuple[str, list[EpochMetrics]]:
    """The digest of the model, and its history."""
    network, history = training.run(single, distill, on_epoch)
    file = training.checkpoint.with_suffix(".safetensors")
    save_model(file, network, spec_for())
    return digest(file), history


def test_the_loss_falls_and_the_squares_are_detected(squares: Path, single: Processes, tmp_path: Path) -> None:
    reported: list[EpochMetrics] = []
    training = job(squares, tmp_path / "a.pt", 60, ema_decay=0.9, evaluate_every=30, lr=0.01)
    network, history = training.run(single, on_epoch=reported.append)
    losses = [row["box"] + row["objectness"] + row["class"] for row in history]
    assert losses[-1] < 0.25 * losses[0]
    assert not network.training
    assert reported == history and [row["epoch"] for row in history] == list(range(1, 61))
    assert [row["epoch"] for row in history if "val_map50" in row] == [30, 60]
    assert history[-1]["val_map50"] > 0.3


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("distilled", [False, True])
def test_a_killed_training_resumes_and_ends_with_the_same_bytes(
    squares: Path, single: Processes, tmp_path: Path, distill: Callable, distilled: bool, optimizer: str, capsys: pytest.CaptureFixture
) -> None:
    build = distill(schedule="cosine") if distilled else None
    settings = {"augment": VARIED, "warmup_epochs": 1.0, "optimizer": optimizer, "lr": 2e-3}
    whole = train(job(squares, tmp_path / "whole.pt", 4, **settings), single, build)
    broken = job(squares, tmp_path / "broken.pt", 4, **settings)
    with pytest.raises(Killed):
        train(broken, single, build, killer(2))
    assert "resuming" not in capsys.readouterr().err
    assert train(broken, single, build) == whole
    assert "train: resuming after epoch 2 of 4\n" in capsys.readouterr().err


def test_a_finished_training_returns_its_result_again(squares: Path, single: Processes, tmp_path: Path) -> None:
    training = job(squares, tmp_path / "a.pt", 2)
    reported: list[EpochMetrics] = []
    assert train(training, single) == train(training, single, on_epoch=reported.append)
    assert reported == []


def test_two_trainings_are_identical_to_the_byte(squares: Path, single: Processes, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = train(job(squares, tmp_path / "a.pt", 2, VARIED), single)
    torch.manual_seed(2)
    assert train(job(squares, tmp_path / "b.pt", 2, VARIED), single) == first
    assert train(job(squares, tmp_path / "c.pt", 2, VARIED, seed=1), single) != first


def test_workers_change_nothing(squares: Path, single: Processes, tmp_path: Path, distill: Callable) -> None:
    results = [train(job(squares, tmp_path / f"{n}.pt", 2, VARIED, workers=n), single, distill()) for n in (0, 2)]
    assert results[0] == results[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_picture_is_one_error_with_any_number_of_workers(single: Processes, tmp_path: Path, workers: int) -> None:
    from tests.kd.train.squares import write_squares

    folder = write_squares(tmp_path / "squares")
    replace_picture(folder / "train", "3.png", b"nothing")
    with pytest.raises(InputError, match=r"train/pictures-00000\.tar, 3\.png \(3\.png\): picture cannot be decoded"):
        job(folder, tmp_path / "a.pt", 1, workers=workers).run(single)


def test_a_step_does_not_wait_for_the_device(squares: Path, single: Processes, tmp_path: Path, distill: Callable) -> None:
    """Only what an epoch does once may: the gradient ratio, the means of the losses and the check of them."""
    network = build_model(spec_for(), 0)
    distillation = distill(response=1.0)(network, spec_for(), 8, None, 0)
    state = build_state(network, distillation.loss, TrainConfig(1, batch=4, precision="fp32"))
    dataset = TrainingDataset(DetectionData(squares / "train", SIDE), AugmentConfig(), 1, 0, distillation.stored_maps)
    batch = dataset.collate([dataset[0, index] for index in range(4)])
    silent = TrainingProgress("", 1, 1, 4, 0, enabled=False)
    criterion = DetectionLoss(spec_for().anchors)

    def epoch(steps: int) -> list[str]:
        arguments = state, network, criterion, distillation, [batch] * steps, [SIDE] * steps, 0, silent
        return count_operators(lambda: train_one_epoch(*arguments))[1]

    assert len(epoch(2)) == len(epoch(4)) > 0


def test_a_broken_checkpoint_is_an_error(squares: Path, single: Processes, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"a\.pt: is no"):
        job(squares, tmp_path / "a.pt", 2).run(single)


def test_the_teacher_is_neither_trained_nor_saved(
    squares: Path, single: Processes, tmp_path: Path, distill: Callable, teacher: Network
) -> None:
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    network, _ = job(squares, tmp_path / "a.pt", 1).run(single, distill())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    saved = load_checkpoint(tmp_path / "a.pt")["trained"]
    adapters = {name for name in saved if "adapters" in name}
    assert adapters and {name.removeprefix("0.") for name in saved.keys() - adapters} == set(network.state_dict())


def test_baseline_and_distillation_start_identically(squares: Path, single: Processes, tmp_path: Path, distill: Callable) -> None:
    """The first step's detection terms are equal to the bit: student, batch and precision are the same."""
    builds = {"baseline": None, "stored": distill(), "live": distill(live=True)}
    rows = {name: job(squares, tmp_path / f"{name}.pt", 1, batch=8).run(single, build)[1][0] for name, build in builds.items()}
    for name in ("stored", "live"):
        assert [rows[name][term] for term in ("box", "objectness", "class")] == [
            rows["baseline"][term] for term in ("box", "objectness", "class")
        ]
        assert rows[name]["distill_neck_16"] > 0 and rows[name]["gradient_ratio"] > 0
    assert "gradient_ratio" not in rows["baseline"]


def test_mixed_precision_is_close_to_float32(squares: Path, single: Processes, tmp_path: Path) -> None:
    rows = [job(squares, tmp_path / f"{p}.pt", 1, batch=8, precision=p).run(single)[1][0] for p in ("fp32", "bf16")]
    for term in ("box", "objectness", "class"):
        assert rows[1][term] != rows[0][term] and rows[1][term] == pytest.approx(rows[0][term], rel=0.05)


def test_a_training_with_labels_only_runs_nothing_of_the_distillation(
    squares: Path, single: Processes, tmp_path: Path, distill: Callable
) -> None:
    """dvc.yaml relies on it: a change of the distillation does not train the teacher again."""

    def called(build: BuildDistillation | None) -> set[str]:
        files = set()
        sys.setprofile(lambda frame, event, argument: files.add(frame.f_code.co_filename) if event == "call" else None)
        try:
            job(squares, tmp_path / f"{build is None}.pt", 1).run(single, build)
        finally:
            sys.setprofile(None)
        return {Path(file).name for file in files if Path(file).parent.name == "distillation"}

    assert called(None) == set()
    assert called(distill()) >= {"feature_loss.py", "loss.py", "setup.py", "map_store.py"}


def test_the_formula_is_few_calls_away_from_the_step(
    squares: Path, teacher: Network, maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def recorded(*features: object) -> torch.Tensor:
        frame, names = sys._getframe(1), []
        while frame:
            file = Path(frame.f_code.co_filename)
            if file.is_relative_to(ROOT / "kd") or file.is_relative_to(ROOT / "components"):
                names.append(frame.f_code.co_name)
            frame = frame.f_back
        calls.append([*reversed(names), "feature_loss"])
        return feature_loss(*features)

    monkeypatch.setitem(distillation_loss.TAP_LOSSES, "features", recorded)
    monkeypatch.setenv("KDFLOW_CHECKPOINTS", str(tmp_path / "checkpoints"))
    params = load_params(ROOT / "params.yaml", ["student.width=0.0625", "student.train.epochs=1", "distill.response=0"])
    save_model(tmp_path / "teacher/model.safetensors", teacher, spec_for("yolov3"))
    (tmp_path / "out").mkdir()
    made_from = {"teacher": digest(tmp_path / "teacher/model.safetensors"), "data": read_json(squares / "summary.json")["digest"]}
    shutil.copytree(maps, tmp_path / "maps")
    write_json(tmp_path / "maps/index.json", read_json(maps / "index.json") | made_from)
    distill_student(params, NullRun(), squares, tmp_path / "teacher", tmp_path / "maps", output=tmp_path / "out")
    path = calls[0][calls[0].index("distill_student") + 1 :]
    assert path == ["train_network", "train", "train_one_epoch", "forward", "feature_loss"] and len(path) <= MAX_CALLS


def test_the_tap_loss_is_an_argument(squares: Path, single: Processes, tmp_path: Path, teacher: Network, maps: Path) -> None:
    def doubled(*features: torch.Tensor) -> torch.Tensor:
        return 2 * feature_loss(*features)

    build = partial(build_distillation, teacher, spec_for("yolov3"), DistillConfig(), maps)
    first, second = (
        job(squares, tmp_path / f"{name}.pt", 1, batch=8).run(single, partial(build, tap_loss=tap_loss))[1][0]
        for name, tap_loss in (("ours", None), ("doubled", doubled))
    )
    terms = [name for name in first if name.startswith("distill_")]
    assert len(terms) == 6 and all(second[name] == pytest.approx(2 * first[name], rel=1e-6) for name in terms)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_frozen_backbone_does_not_change_until_its_epochs_are_over(
    squares: Path, single: Processes, tmp_path: Path, optimizer: str
) -> None:
    start = build_model(spec_for(), 0).state_dict()
    for epochs, changes in ((2, False), (3, True)):
        training = job(squares, tmp_path / f"{epochs}.pt", epochs, augment=VARIED, optimizer=optimizer, freeze_epochs=2)
        state = training.run(single)[0].state_dict()
        changed = {name for name, value in state.items() if not torch.equal(value, start[name])}
        assert any(name.startswith("backbone.") for name in changed) == changes
        assert {name for name in start if not name.startswith("backbone.")} <= changed


def test_the_backbone_learns_at_its_own_rate(squares: Path, single: Processes, tmp_path: Path) -> None:
    start = build_model(spec_for(), 0).state_dict()
    moved = []
    for factor in (0.01, 1.0):
        training = job(squares, tmp_path / f"{factor}.pt", 1, optimizer="sgd", lr=1e-4, backbone_lr=factor, ema_decay=0.0)
        state = training.run(single)[0].state_dict()
        kernels = [name for name in state if name.startswith("backbone.") and name.endswith("convolution.weight")]
        moved.append(sum(float((state[name] - start[name]).norm()) for name in kernels))
    assert 0 < moved[0] < 0.02 * moved[1]
