"""The three training steps: resuming, checkpoint names, and the errors that they report."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from components.compute_info_maps.step import compute_info_maps
from components.distill_student.step import distill_student
from components.evaluate.report.models import read_history
from components.params.models import Params
from components.runtime.command import run_step
from components.runtime.outputs import TRAINED
from components.runtime.tracking import NullRun
from components.shared.training import write_history
from components.train_baseline.step import train_baseline
from components.train_teacher.step import train_teacher
from kd.errors import InputError
from kd.files import digest
from kd.model.store import load_model
from kd.train.early_stopping import kept_epoch
from tests.components.shared.conftest import EPOCHS, ROOT, new_folder
from tests.components.stores import new_store
from tests.kd.train.squares import write_squares


@pytest.fixture
def start_training(tmp_path: Path, parameters: Path, prepared: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `python -m components.train_teacher` with its own MLflow store and checkpoint folder."""
    new_store(tmp_path)
    settings = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}", "KDFLOW_EXECUTION": "one"}
    settings |= {"KDFLOW_CHECKPOINTS": str(tmp_path / "checkpoints"), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def start(output: Path, *options: str) -> subprocess.Popen[str]:
        paths = ["--params", parameters, "--data", prepared, "--output", output]
        command = [sys.executable, "-m", "components.train_teacher", *map(str, paths), *options]
        return subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the command and return its stderr."""
    errors = process.communicate(timeout=400)[1]
    assert process.returncode == 0, errors
    return errors


def digests(folder: Path) -> dict[str, str]:
    return {file.name: digest(file) for file in folder.iterdir()}


@pytest.mark.slow
def test_a_killed_training_resumes_and_gives_the_same_bytes(start_training: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    options = ["--set", "augment.mosaic=1.0", "--set", "teacher.train.epochs=40"]
    assert "resuming" not in finish(start_training(tmp_path / "whole", *options))
    killed = start_training(tmp_path / "killed", *options)
    while not list(checkpoints.glob("train_teacher-*.pt")):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    assert "train_teacher: resuming after epoch " in finish(start_training(tmp_path / "killed", *options))
    assert set(digests(tmp_path / "whole")) == {"model.safetensors", "history.csv"}
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
    assert list(checkpoints.glob("*.pt")) == []


@pytest.mark.slow
def test_runs_of_the_same_training_at_the_same_time_give_the_same_bytes(
    start_training: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """They share one checkpoint: the second resumes from that of the first and deletes it at its end, and then the first goes on."""
    options = ["--set", "augment.mosaic=1.0", "--set", "teacher.train.epochs=12"]
    checkpoints = tmp_path / "checkpoints"
    first = start_training(tmp_path / "first", *options)
    while not list(checkpoints.glob("train_teacher-*.pt")):
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    assert "train_teacher: resuming after epoch " in finish(start_training(tmp_path / "second", *options))
    assert list(checkpoints.glob("*.pt")) == []
    first.send_signal(signal.SIGCONT)
    assert "resuming" not in finish(first)
    assert "resuming" not in finish(start_training(tmp_path / "alone", *options))
    assert digests(tmp_path / "first") == digests(tmp_path / "second") == digests(tmp_path / "alone")
    assert list(checkpoints.glob("*.pt")) == []


@pytest.mark.parametrize(
    ("output", "change", "words"),
    [
        ("params.yaml/below", "seed=0", "params.yaml"),
        ("/proc/nowhere/out", "seed=0", "/proc/nowhere"),
        ("out", "teacher.train.epochs=-1", "parameter 'teacher.train.epochs' is -1"),
        ("out", "teacher.train.epoch=3", "'teacher.train.epoch=3' is not an assignment to a parameter"),
    ],
)
def test_an_input_error_is_one_line(
    start_training: Callable[..., subprocess.Popen[str]], tmp_path: Path, output: str, change: str, words: str
) -> None:
    process = start_training(tmp_path / output, "--set", change)
    printed, errors = process.communicate(timeout=400)
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert process.returncode == 2 and printed == ""
    assert len(lines) == 1 and words in lines[0] and "; " in lines[0]
    assert "Traceback" not in errors


def test_all_training_steps_write_models_and_histories(run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path) -> None:
    teacher, maps, baseline, student = (new_folder(tmp_path, name) for name in ("teacher", "maps", "baseline", "student"))
    written = [train_teacher(params, run, prepared, output=teacher)]
    compute_info_maps(params, run, prepared, teacher, maps)
    written.append(train_baseline(params, run, prepared, output=baseline))
    written.append(distill_student(params, run, prepared, teacher, maps, output=student))
    assert sorted(checkpoints.iterdir()) == sorted(written)
    specs = {folder.name: load_model(folder / "model.safetensors")[1] for folder in (teacher, baseline, student)}
    assert specs["teacher"].architecture == "yolov3" and specs["student"] == specs["baseline"]
    assert {file.name for folder in (teacher, student) for file in folder.iterdir()} == set(TRAINED)
    columns = {folder.name: (folder / "history.csv").read_text().splitlines()[0].split(",") for folder in (baseline, student)}
    terms = {f"distill_{part}_{stride}" for part in ("backbone", "neck") for stride in (8, 16, 32)} | {"distill_response"}
    assert set(columns["student"]) - set(columns["baseline"]) == terms | {"gradient_ratio"}
    assert [len((folder / "history.csv").read_text().splitlines()) for folder in (teacher, student)] == [EPOCHS + 1] * 2
    assert sum("val_map" in values for (values, *_) in run.of("metrics")) == 3 * 2
    assert run.of("tag") == [("kdflow.teacher_digest", digest(teacher / "model.safetensors"))]


def test_the_history_shows_where_a_training_ended_and_which_epoch_was_kept(
    run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path
) -> None:
    changes = {"lr": 1e-12, "evaluate_every": 1, "patience": 2, "keep_epoch": "best"}  # the score does not rise
    train = params.student.train.model_copy(update=changes)
    stopped = params.model_copy(update={"student": params.student.model_copy(update={"train": train})})
    output = new_folder(tmp_path, "stopped")
    train_baseline(stopped, run, prepared, output=output)
    rows = read_history(output / "history.csv")
    assert [(row["epoch"], row.get("kept")) for row in rows] == [(1, 1), (2, None), (3, None)] and kept_epoch(rows) is rows[0]
    assert run.of("metrics")[-1][0]["kept_epoch"] == 1
    train_baseline(params, run, prepared, output=new_folder(tmp_path, "whole"))
    rows = read_history(tmp_path / "whole/history.csv")
    assert len(rows) == EPOCHS and not any("kept" in row for row in rows) and run.of("metrics")[-1][0]["kept_epoch"] == EPOCHS


def test_a_checkpoint_is_deleted_by_the_main_process_when_the_output_is_in_its_place(
    params: Params, prepared: Path, tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process ends earlier, and the main process may still fail to write the model."""
    monkeypatch.setattr("components.runtime.tracking.step_run", lambda *_: nullcontext(NullRun()))
    inputs = {"data": prepared, "output": tmp_path / "out"}
    with monkeypatch.context() as changed:
        changed.setattr("components.runtime.command.is_main_process", lambda: False)
        run_step(train_baseline, params, **inputs)
    assert len(list(checkpoints.iterdir())) == 1 and not (tmp_path / "out").exists()
    with monkeypatch.context() as changed, pytest.raises(OSError, match="No space left"):
        changed.setattr(Path, "rename", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        run_step(train_baseline, params, **inputs)
    assert len(list(checkpoints.iterdir())) == 1 and not (tmp_path / "out").exists()
    run_step(train_baseline, params, **inputs)
    assert not list(checkpoints.iterdir()) and (tmp_path / "out/model.safetensors").exists()


def test_a_distillation_without_taps_equals_the_baseline(
    run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path
) -> None:
    """Both share weights, batches and schedule bit by bit; only the distillation loss differs."""
    teacher, maps, baseline, student = (new_folder(tmp_path, name) for name in ("teacher", "maps", "baseline", "student"))
    train_teacher(params, run, prepared, output=teacher)
    compute_info_maps(params, run, prepared, teacher, maps)
    train_baseline(params, run, prepared, output=baseline)
    without_taps = params.model_copy(update={"distill": params.distill.model_copy(update={"taps": [], "response": 0.0})})
    distill_student(without_taps, run, prepared, teacher, maps, output=student)
    assert digests(student) == digests(baseline)


def test_everything_that_affects_the_result_is_in_the_checkpoint_name(
    run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoint_names: list[str]
) -> None:
    summary = (prepared / "summary.json").read_text()
    changes: list[dict[str, Any]] = [{}, {}, {"seed": 1}, {"augment": params.augment.model_copy(update={"flip": 0.5})}]
    changes += [{"teacher": params.teacher.model_copy(update={"width": 0.125})}]
    changes += [{"teacher": params.teacher.model_copy(update={"train": params.teacher.train.model_copy(update={"lr": 0.1})})}]
    for change in changes:
        with pytest.raises(InputError, match="stop"):
            train_teacher(params.model_copy(update=change), run, prepared, output=tmp_path)
    (prepared / "summary.json").write_text(summary.replace("squares 8", "squares 9"))
    with pytest.raises(InputError, match="stop"):
        train_teacher(params, run, prepared, output=tmp_path)
    first, second, *others = checkpoint_names
    assert first == second and len({first, *others}) == 1 + len(others)


def test_maps_of_other_data_are_rejected(run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path) -> None:
    teacher, maps, student = (new_folder(tmp_path, name) for name in ("teacher", "maps", "student"))
    train_teacher(params, run, prepared, output=teacher)
    compute_info_maps(params, run, prepared, teacher, maps)
    shutil.rmtree(prepared)
    with pytest.raises(InputError, match="maps of other data; run compute_info_maps again"):
        distill_student(params, run, write_squares(prepared, train=9), teacher, maps, output=student)


def test_maps_of_another_teacher_are_rejected(run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path) -> None:
    teacher, other, maps, student = (new_folder(tmp_path, name) for name in ("teacher", "other", "maps", "student"))
    train_teacher(params, run, prepared, output=teacher)
    train_teacher(params.model_copy(update={"seed": 5}), run, prepared, output=other)
    compute_info_maps(params, run, prepared, teacher, maps)
    with pytest.raises(InputError, match="maps of another teacher; run compute_info_maps again"):
        distill_student(params, run, prepared, other, maps, output=student)


def test_a_training_that_diverges_is_reported(run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path) -> None:
    train = params.teacher.train.model_copy(update={"lr": 1e30, "optimizer": "sgd", "epochs": 20})
    diverging = params.model_copy(update={"teacher": params.teacher.model_copy(update={"train": train})})
    with pytest.raises(InputError, match=r"train_teacher: the loss is not finite in epoch \d+, step \d+ .*; lower its lr"):
        train_teacher(diverging, run, prepared, output=new_folder(tmp_path, "out"))


def test_a_gpu_without_enough_memory_is_reported(
    run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines")

    monkeypatch.setattr("components.shared.training.train", train)
    expected = r"train_teacher: the memory of the GPU does not suffice \(CUDA out .* 2\.00 GiB\.\); lower its train\.batch"
    with pytest.raises(InputError, match=expected):
        train_teacher(params, run, prepared, output=new_folder(tmp_path, "out"))


def test_epochs_without_evaluation_have_empty_scores(tmp_path: Path) -> None:
    write_history(tmp_path / "h.csv", [{"epoch": 1.0, "box": 1 / 3}, {"epoch": 2.0, "box": 0.25, "val_map": 0.5}])
    assert (tmp_path / "h.csv").read_bytes() == b"epoch,box,val_map\n1,0.333333,\n2,0.25,0.5\n"
