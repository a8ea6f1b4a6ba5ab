"""The cost of a step, with a teacher that finds something and with one that does not exist."""

import re
from pathlib import Path

import pytest
import torch

from benchmarks.step_cost import main
from kd.model.build import build_model
from kd.model.store import save_model
from tests.benchmarks.conftest import ROOT
from tests.kd.train.squares import SIDE, spec_for

QUICK = ["--params", str(ROOT / "params.yaml"), "--rounds", "1", "--batch", "2", "--sizes"]


def write_teacher(folder: Path, size: int = SIDE) -> Path:
    """A teacher that detects one object of the coarsest anchor in each cell of 32 pixels."""
    spec = spec_for("yolov3", size)
    network = build_model(spec)
    with torch.no_grad():
        for stride in (8, 16, 32):
            head = network.get_submodule(f"levels.{stride}.head")
            head.weight.zero_()
            head.bias.view(3, -1)[:] = torch.tensor([0.0, 0.0, 0.0, 0.0, -20.0, 20.0, -20.0])
        head.bias.view(3, -1)[0, 4] = 20.0
    save_model(folder / "model.safetensors", network, spec)
    return folder


def test_a_trained_teacher_runs_on_prepared_pictures_at_its_size(squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    teacher = write_teacher(tmp_path / "teacher")
    main([*QUICK, str(SIDE), "96", "--teacher", str(teacher), "--data", str(squares)])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.partition(":")[0] for line in lines] == [f"{teacher}, {SIDE} px", "untrained, 96 px"]
    assert "4.0 detections a picture" in lines[0] and "0.0 detections a picture" in lines[1]
    assert all(re.search(r"distillation step \d+ ms: \d\.\d{3} of its parts", line) for line in lines)


def test_without_a_teacher_a_warning_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    main([*QUICK, "64"])
    captured = capsys.readouterr()
    assert captured.err.startswith("warning: outputs/train_teacher does not exist")
    assert captured.out.splitlines()[1].startswith("untrained, 64 px: 0.0 detections a picture")


def test_the_teacher_of_the_outputs_is_taken(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_teacher(tmp_path / "outputs" / "train_teacher")
    (tmp_path / "outputs" / "prepare_data").symlink_to(squares)
    monkeypatch.chdir(tmp_path)
    main(QUICK)
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].startswith(f"outputs/train_teacher, {SIDE} px: 4.0") and "warning" not in captured.err


@pytest.mark.parametrize(
    ("teacher", "size", "message"), [("nowhere", SIDE, "nowhere/model.safetensors"), ("other", 96, "another image size")]
)
def test_a_teacher_that_does_not_fit_is_one_error(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, teacher: str, size: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_teacher(Path("other"), size)
    with pytest.raises(SystemExit) as exit_:
        main([*QUICK, "64", "--teacher", teacher, "--data", str(squares)])
    assert exit_.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]
