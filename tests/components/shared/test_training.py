"""The three training steps: resuming, checkpoint names, and the errors that they report."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from components.compute_info_maps.step import compute_info_maps
from components.distill_student.step import distill_student
from components.fetch_weights.step import fetch_weights
from components.params.load import load_params
from components.params.models import FineTune, Params
from components.runtime.outputs import TRAINED
from components.shared.training import train_config, train_network, write_history
from components.train_baseline.step import train_baseline
from components.train_teacher.step import train_teacher
from kd.errors import InputError
from kd.files import digest
from kd.model.build import build_model
from kd.model.store import load_initial, load_model, load_spec, save_model
from tests.components.stores import new_store
from tests.kd.train.squares import CLASSES, spec_for, write_squares

ROOT = Path(__file__).parents[3]
EPOCHS = 6
NETWORK = {"width": 0.0625, "depth": 0.1}
TRAIN = {"epochs": EPOCHS, "batch": 4, "warmup_epochs": 0.0, "precision": "fp32", "evaluate_every": 3}


@pytest.fixture
def parameters(tmp_path: Path) -> Path:
    """The committed parameters with tiny networks."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section in ("teacher", "student"):
        content[section] |= NETWORK | {"train": content[section]["train"] | TRAIN}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "params.yaml"


@pytest.fixture
def params(parameters: Path) -> Params:
    return load_params(parameters)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return write_squares(tmp_path / "prepared")


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
    errors = process.communicate(timeout=120)[1]
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


@pytest.mark.parametrize(
    ("output", "change", "words"),
    [
        ("params.yaml/below", "seed=0", "params.yaml"),
        ("/proc/nowhere/out", "seed=0", "/proc/nowhere"),
        ("out", "teacher.train.epochs=0", "parameter 'teacher.train.epochs' is 0"),
        ("out", "teacher.train.epoch=3", "'teacher.train.epoch=3' is not an assignment to a parameter"),
    ],
)
def test_an_input_error_is_one_line(
    start_training: Callable[..., subprocess.Popen[str]], tmp_path: Path, output: str, change: str, words: str
) -> None:
    process = start_training(tmp_path / output, "--set", change)
    printed, errors = process.communicate(timeout=120)
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert process.returncode == 2 and printed == ""
    assert len(lines) == 1 and words in lines[0] and "; " in lines[0]
    assert "Traceback" not in errors


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for the checkpoints of the test."""
    monkeypatch.setenv("KDFLOW_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path / "checkpoints"


def new_folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_all_training_steps_write_models_and_histories(run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path) -> None:
    teacher, maps, baseline, student = (new_folder(tmp_path, name) for name in ("teacher", "maps", "baseline", "student"))
    train_teacher(params, run, prepared, output=teacher)
    compute_info_maps(params, run, prepared, teacher, maps)
    train_baseline(params, run, prepared, output=baseline)
    distill_student(params, run, prepared, teacher, maps, output=student)
    specs = {folder.name: load_model(folder / "model.safetensors")[1] for folder in (teacher, baseline, student)}
    assert specs["teacher"].architecture == "yolov3" and specs["student"] == specs["baseline"]
    assert {file.name for folder in (teacher, student) for file in folder.iterdir()} == set(TRAINED)
    columns = {folder.name: (folder / "history.csv").read_text().splitlines()[0].split(",") for folder in (baseline, student)}
    terms = {f"distill_{part}_{stride}" for part in ("backbone", "neck") for stride in (8, 16, 32)} | {"distill_response"}
    assert set(columns["student"]) - set(columns["baseline"]) == terms | {"gradient_ratio"}
    assert [len((folder / "history.csv").read_text().splitlines()) for folder in (teacher, student)] == [EPOCHS + 1] * 2
    assert sum("val_map" in values for (values, *_) in run.of("metrics")) == 3 * 2
    assert run.of("tag") == [("kdflow.teacher_digest", digest(teacher / "model.safetensors"))]
    assert not list(checkpoints.iterdir())


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
    run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def stop(spec: object, data: object, config: object, augment: object, seed: int, checkpoint: Path, *others: object) -> None:
        names.append(checkpoint.name)
        raise InputError("stop", "stop", "stop")

    monkeypatch.setattr("components.shared.training.train", stop)
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
    assert names[0] == names[1] and len(set(names)) == len(names) - 1


def test_maps_of_other_data_are_rejected(run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path) -> None:
    teacher, maps, student = (new_folder(tmp_path, name) for name in ("teacher", "maps", "student"))
    train_teacher(params, run, prepared, output=teacher)
    compute_info_maps(params, run, prepared, teacher, maps)
    shutil.rmtree(prepared)
    with pytest.raises(InputError, match=r"maps of 8 pictures, .*the data have 9"):
        distill_student(params, run, write_squares(prepared, train=9), teacher, maps, output=student)


def test_a_training_that_diverges_is_reported(run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path) -> None:
    train = params.teacher.train.model_copy(update={"lr": 1e30, "optimizer": "sgd", "epochs": 20})
    diverging = params.model_copy(update={"teacher": params.teacher.model_copy(update={"train": train})})
    with pytest.raises(InputError, match=r"train_teacher: the loss is not finite in epoch \d+, step \d+ .*; lower its lr"):
        train_teacher(diverging, run, prepared, output=new_folder(tmp_path, "out"))


def test_epochs_without_evaluation_have_empty_scores(tmp_path: Path) -> None:
    write_history(tmp_path / "h.csv", [{"epoch": 1.0, "box": 1 / 3}, {"epoch": 2.0, "box": 0.25, "val_map": 0.5}])
    assert (tmp_path / "h.csv").read_bytes() == b"epoch,box,val_map\n1,0.333333,\n2,0.25,0.5\n"


@pytest.fixture
def initial(params: Params, tmp_path: Path) -> Params:
    """The parameters with initial weights for the student: a network of red and green squares, with its own anchors."""
    spec = replace(spec_for(), classes=("green", "red"), anchors={16: [(9.0, 9.0)] * 3, 32: [(30.0, 30.0)] * 3})
    save_model(tmp_path / "init.safetensors", build_model(spec, seed=7), spec)
    return params.model_copy(update={"student": params.student.model_copy(update={"init": str(tmp_path / "init.safetensors")})})


def test_baseline_and_student_start_from_the_same_weights(
    run: Any, initial: Params, prepared: Path, tmp_path: Path, checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a step of training, both are the initial network; only the class "red" keeps its rows."""
    train = initial.student.train.model_copy(update={"lr": 1e-12, "epochs": 1, "weight_decay": 0.0})
    params = initial.model_copy(update={"student": initial.student.model_copy(update={"train": train})})
    weights, teacher, maps, baseline, student = (new_folder(tmp_path, name) for name in ("init", "teacher", "maps", "baseline", "student"))
    fetch_weights(params, run, weights)
    train_teacher(params, run, prepared, weights, teacher)
    assert not any(name.startswith("kdflow.init") for name, _ in run.of("tag"))
    compute_info_maps(params, run, prepared, teacher, maps)
    capsys.readouterr()
    train_baseline(params, run, prepared, weights, baseline)
    messages = capsys.readouterr().err.splitlines()
    distill_student(params, run, prepared, teacher, maps, weights, student)
    file = Path(params.student.init)
    summary = "loaded tensors: backbone 35 of 35, neck 20 of 20, heads 4 of 4; classes 1 of 2 (red)"
    assert f"train_baseline: starts from {file}; {summary}" in messages
    assert "warning: the loaded heads keep their anchors, whose IoU with those of the data is 0.61 on average" in messages
    source = {name: value for name, value in load_model(file)[0].named_parameters()}
    for folder in (baseline, student):
        network, spec = load_model(folder / "model.safetensors")
        assert spec.classes == CLASSES and spec.anchors == load_model(file)[1].anchors
        for name, value in network.named_parameters():
            expected = source[name]
            if "head" in name:  # rows of boxes, objectness and the class "red"
                value, expected = (one.view(3, 7, -1)[:, [0, 1, 2, 3, 4, red]] for one, red in ((value, 5), (expected, 6)))
            torch.testing.assert_close(value, expected)
        assert load_initial(folder / "model.safetensors") == {"init": str(file), "init_digest": digest(file)}
    assert load_initial(teacher / "model.safetensors") == {}
    assert run.of("tag").count(("kdflow.init_digest", digest(file))) == 2


def test_the_content_of_the_initial_weights_is_in_the_checkpoint_name(
    run: Any, initial: Params, prepared: Path, tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def stop(spec: object, data: object, config: object, augment: object, seed: int, checkpoint: Path, *others: object) -> None:
        names.append(checkpoint.name)
        raise InputError("stop", "stop", "stop")

    monkeypatch.setattr("components.shared.training.train", stop)
    spec = load_spec(Path(initial.student.init))
    for seed in (1, 1, 2):
        save_model(Path(initial.student.init), build_model(spec, seed), spec)
        shutil.rmtree(tmp_path / "fetched", ignore_errors=True)
        fetch_weights(initial, run, tmp_path / "fetched")
        with pytest.raises(InputError, match="stop"):
            train_baseline(initial, run, prepared, tmp_path / "fetched", tmp_path)
    assert names[0] == names[1] != names[2]


def test_weights_of_another_network_are_named_by_the_parameter(run: Any, initial: Params, prepared: Path, tmp_path: Path) -> None:
    wide = initial.model_copy(update={"student": initial.student.model_copy(update={"width": 0.125})})
    fetch_weights(wide, run, tmp_path / "fetched")
    with pytest.raises(InputError, match=r"init\.safetensors: is a yolov3-tiny of width 0\.0625, but the network to train is .* 0\.125"):
        train_baseline(wide, run, prepared, tmp_path / "fetched", tmp_path)


@pytest.mark.parametrize(("classes", "epochs"), [(("blue", "red"), 2), (("red", "green"), 3)])
def test_weights_that_have_all_classes_are_fine_tuned(
    classes: tuple[str, ...], epochs: int, run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path
) -> None:
    spec = replace(spec_for(), classes=classes)
    save_model(tmp_path / "last.safetensors", build_model(spec), spec)
    train = params.student.train.model_copy(update={"epochs": 3, "fine_tune": FineTune(epochs=2, lr=1e-9)})
    changed = params.student.model_copy(update={"init": str(tmp_path / "last.safetensors"), "train": train})
    train_network("baseline", params, changed, run, prepared, new_folder(tmp_path, "out"))
    assert (tmp_path / "out/history.csv").read_text().count("\n") == 1 + epochs
    is_fine_tuned = epochs == 2
    assert train_config(train, is_fine_tuned).lr == (1e-9 if is_fine_tuned else train.lr)
    unset = train.model_copy(update={"fine_tune": FineTune(epochs=0, lr=0.0)})
    assert train_config(unset, True) == train_config(unset, False)


@pytest.mark.parametrize("lr", [5.0, 1e-9])
def test_a_teacher_that_is_worse_than_its_initial_weights_is_not_used(
    lr: float, run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = params.teacher.model_copy(update={"train": params.teacher.train.model_copy(update={"epochs": 30, "lr": 0.01})})
    train_teacher(params.model_copy(update={"teacher": longer}), run, prepared, output=tmp_path)
    file = shutil.copy(tmp_path / "model.safetensors", tmp_path / "last.safetensors")
    train = params.teacher.train.model_copy(update={"epochs": 1, "lr": lr, "clip_norm": 1e9, "optimizer": "sgd", "ema_decay": 0.0})
    again = params.model_copy(update={"teacher": params.teacher.model_copy(update={"init": str(file), "train": train})})
    (tmp_path / "fetched").mkdir()
    fetch_weights(again, run, tmp_path / "fetched")
    capsys.readouterr()
    train_teacher(again, run, prepared, tmp_path / "fetched", new_folder(tmp_path, "again"))
    kept = "train_teacher: keeps the initial weights, because their mAP on the val split is" in capsys.readouterr().err
    before, after = (load_model(one)[0].state_dict() for one in (file, tmp_path / "again/model.safetensors"))
    is_equal = all(torch.equal(value, after[name]) for name, value in before.items() if not name.endswith("num_batches_tracked"))
    assert kept == is_equal == (lr == 5.0)
