"""Trainings that start from the weights of another one."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from components.compute_info_maps.step import compute_info_maps
from components.distill_student.step import distill_student
from components.evaluate.report.models import read_history
from components.fetch_weights.step import fetch_weights
from components.params.models import FineTune, Params
from components.shared.training import train_config, train_network
from components.train_baseline.step import train_baseline
from components.train_teacher.step import train_teacher
from kd.errors import InputError
from kd.files import digest
from kd.model.build import build_model
from kd.model.store import load_init_metadata, load_model, load_spec, load_training_pictures, save_model
from tests.components.shared.conftest import new_folder
from tests.kd.train.squares import CLASSES, spec_for


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
        assert load_init_metadata(folder / "model.safetensors") == {"init": str(file), "init_digest": digest(file)}
    assert load_init_metadata(teacher / "model.safetensors") == {}
    assert run.of("tag").count(("kdflow.init_digest", digest(file))) == 2


def test_the_content_of_the_initial_weights_is_in_the_checkpoint_name(
    run: Any, initial: Params, prepared: Path, tmp_path: Path, checkpoint_names: list[str]
) -> None:
    spec = load_spec(Path(initial.student.init))
    for seed in (1, 1, 2):
        save_model(Path(initial.student.init), build_model(spec, seed), spec)
        shutil.rmtree(tmp_path / "fetched", ignore_errors=True)
        fetch_weights(initial, run, tmp_path / "fetched")
        with pytest.raises(InputError, match="stop"):
            train_baseline(initial, run, prepared, tmp_path / "fetched", tmp_path)
    assert checkpoint_names[0] == checkpoint_names[1] != checkpoint_names[2]


def test_renamed_classes_are_in_the_checkpoint_name_and_must_exist(
    run: Any, initial: Params, prepared: Path, tmp_path: Path, checkpoint_names: list[str]
) -> None:
    fetch_weights(initial, run, tmp_path / "fetched")
    for classes in ({}, {"green": "blue"}):
        changed = initial.model_copy(update={"student": initial.student.model_copy(update={"classes": classes})})
        with pytest.raises(InputError, match="stop"):
            train_baseline(changed, run, prepared, tmp_path / "fetched", tmp_path)
    assert len(set(checkpoint_names)) == 2
    wrong = initial.model_copy(update={"student": initial.student.model_copy(update={"classes": {"gren": "blue"}})})
    with pytest.raises(InputError, match=r"init\.safetensors: has no class 'gren' \(it has green, red\); correct the parameter classes"):
        train_baseline(wrong, run, prepared, tmp_path / "fetched", tmp_path)
    assert len(checkpoint_names) == 2


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


@pytest.mark.parametrize("lr", [1.0, 1e-9])
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
    assert kept == is_equal == (lr == 1.0)
    assert run.of("tag")[-1] == ("kdflow.kept_init", "true" if kept else "false")
    assert load_training_pictures(tmp_path / "again/model.safetensors") == load_training_pictures(file)


@pytest.mark.parametrize("red", ["red", "rouge"])
def test_a_teacher_without_epochs_has_its_initial_weights_and_a_score(
    red: str, run: Any, params: Params, prepared: Path, tmp_path: Path, checkpoints: Path
) -> None:
    """Classes that the data do not have are left out; the others may be in another order, and renamed."""
    spec = replace(spec_for("yolov3"), classes=("blue", "green", red))
    save_model(tmp_path / "trained.safetensors", build_model(spec, seed=3), spec)
    train = params.teacher.train.model_copy(update={"epochs": 0})
    classes = {} if red == "red" else {red: "red"}
    section = params.teacher.model_copy(update={"init": str(tmp_path / "trained.safetensors"), "classes": classes, "train": train})
    train_network("train_teacher", params, section, run, prepared, new_folder(tmp_path, "out"), keep_better=True)
    recorded = {"init_classes": '{"rouge": "red"}'} if classes else {}
    origin = {"init": section.init, "init_digest": digest(tmp_path / "trained.safetensors"), **recorded}
    assert load_init_metadata(tmp_path / "out/model.safetensors") == origin
    assert dict(run.of("tag")) == {f"kdflow.{name}": value for name, value in origin.items()}
    network, own = load_model(tmp_path / "out/model.safetensors")
    source = load_model(tmp_path / "trained.safetensors")[0].state_dict()
    assert own.classes == CLASSES == ("red", "blue")
    for name, value in network.state_dict().items():
        expected = source[name]
        if "head" in name and value.ndim in (1, 4):
            expected = expected.view(3, 8, -1)[:, [0, 1, 2, 3, 4, 7, 5]].reshape(value.shape)
        torch.testing.assert_close(value, expected, rtol=0, atol=0)
    assert not load_training_pictures(tmp_path / "out/model.safetensors"), "it was trained on none"
    [row] = read_history(tmp_path / "out/history.csv")
    assert set(row) == {"epoch", "val_map", "val_map50"} and row["epoch"] == 0
    assert not list(checkpoints.glob("*")), "nothing to resume"


def test_a_teacher_without_epochs_needs_weights_with_all_classes(run: Any, params: Params, prepared: Path, tmp_path: Path) -> None:
    spec = replace(spec_for("yolov3"), classes=("green", "red"))
    save_model(tmp_path / "trained.safetensors", build_model(spec), spec)
    train = params.teacher.train.model_copy(update={"epochs": 0})
    section = params.teacher.model_copy(update={"init": str(tmp_path / "trained.safetensors"), "train": train})
    with pytest.raises(InputError, match="train_teacher: train: has 0 epochs, but the initial weights do not have all classes"):
        train_network("train_teacher", params, section, run, prepared, new_folder(tmp_path, "out"))
