"""The command: it trains what is missing, goes on where it was killed, and refuses what does not fit."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import trainings
from benchmarks.ablation import main
from benchmarks.trainings import TimingRun
from components.compute_info_maps.step import compute_info_maps
from components.distill_student.step import distill_student
from components.params.load import load_params
from components.runtime.tracking import NullRun
from components.shared.training import train_network
from kd.files import digest
from tests.benchmarks.conftest import ROOT, SMALL
from tests.packed import unpack


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of the trainings, as they begin."""
    titles: list[str] = []

    def recorded(title: str, *arguments: Any) -> Path:
        titles.append(title)
        return train_network(title, *arguments)

    monkeypatch.setattr(trainings, "train_network", recorded)
    return titles


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Interrupt every training after this epoch; 0 for never."""

    def after(epoch: int) -> None:
        def log_metrics(self: TimingRun, values: dict[str, float], step: int | None = None) -> None:
            if step == epoch:
                raise KeyboardInterrupt

        monkeypatch.setattr(TimingRun, "log_metrics", log_metrics)

    return after


def test_everything_is_trained_once(words: list[str], trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = [*words, "--seeds", "0", "1", "--variants", "fgd"]
    main(command)
    assert trained == ["teacher", "baseline-seed-0", "baseline-seed-1", "fgd-seed-0", "fgd-seed-1"]
    results = (tmp_path / "out/results.json").read_bytes()
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("teacher", "baseline", "fgd", "gap closed"))

    main(command)
    assert len(trained) == 5
    assert (tmp_path / "out/results.json").read_bytes() == results
    main([*words, "--seeds", "0", "--variants", "fgd", "fgfi"])
    assert trained[5:] == ["fgfi-seed-0"]


def test_the_results_hold_every_training(words: list[str], tmp_path: Path) -> None:
    main([*words, "--seeds", "4", "--variants", "fgd", "--split", "test"])
    content = json.loads((tmp_path / "out/results.json").read_text())
    assert content["split"] == "test" and "--split test" in content["command"] and content["params"]["student"]["width"] == 0.0625
    assert {name: set(own) for name, own in content["runs"].items()} == {name: {"4"} for name in ("baseline", "fgd")}
    facts = content["runs"]["fgd"]["4"]
    assert 0 <= facts["map"] <= facts["map50"] <= 1 and facts["seconds"] > 0 and facts["gradient_ratio"] > 0 and "torch" in facts["machine"]
    assert facts["map50"] == json.loads((tmp_path / "out/runs/fgd/seed-4/test.json").read_text())["map50"]
    assert not (tmp_path / "out/runs/fgd/seed-4/val.json").exists()
    assert [row["variant"] for row in content["variants"]] == ["baseline", "fgd"]
    table = [line for line in (tmp_path / "out/results.md").read_text().splitlines() if line.startswith("|")]
    assert [line.split(" | ")[0] for line in table] == ["| variant", "| ---", "| teacher", "| baseline", "| fgd"]
    assert len({line.count("|") for line in table}) == 1


def test_a_student_is_that_of_the_step(words: list[str], tmp_path: Path, squares: Path) -> None:
    """The variant `default` is what distill_student would train: to the byte."""
    main([*words, "--seeds", "3", "--variants", "default"])
    params = load_params(ROOT / "params.yaml", [*SMALL, "seed=3"])
    maps, student = tmp_path / "maps", tmp_path / "student"
    maps.mkdir()
    student.mkdir()
    compute_info_maps(params, NullRun(), squares, tmp_path / "out/teacher", maps)
    distill_student(params, NullRun(), squares, tmp_path / "out/teacher", maps, output=student)
    for file in ("history.csv", "model.safetensors"):
        assert (tmp_path / "out/runs/default/seed-3" / file).read_bytes() == (student / file).read_bytes()


def test_trainings_side_by_side_are_the_same(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """In processes of their own; the training that diverges is left out there, too."""
    command = [*words, "--seeds", "0", "1", "--variants", "pkd", "default@weight=1e300"]
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    main(command)
    torch.set_num_threads(threads)
    (tmp_path / "out").rename(tmp_path / "first")
    capsys.readouterr()
    main([*command, "--jobs", "2"])
    assert capsys.readouterr().err.count("warning: left out: default@weight=1e300-seed-") == 2
    for model in ("teacher", *(f"runs/{name}/seed-{seed}" for name in ("baseline", "pkd") for seed in (0, 1))):
        assert digest(tmp_path / "out" / model / "model.safetensors") == digest(tmp_path / "first" / model / "model.safetensors")
    first, second = (json.loads((tmp_path / folder / "results.json").read_text()) for folder in ("first", "out"))
    assert [row["map50"] for row in first["variants"]] == [row["map50"] for row in second["variants"]]


def test_an_error_in_another_process_is_one_line(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main([*words, "--seeds", "0", "--variants", "baseline"])
    with pytest.raises(SystemExit) as refused:
        main([*words, "--seeds", "0", "--variants", "baseline", "--set", "student.train.lr=0.1", "--jobs", "2"])
    assert refused.value.code == 2
    assert "was made from other settings of student; choose another --out" in capsys.readouterr().err


def test_a_killed_training_goes_on(words: list[str], tmp_path: Path, kill: Callable, capsys: pytest.CaptureFixture) -> None:
    command, folder = [*words, "--seeds", "0", "--variants", "pkd"], tmp_path / "out/runs/pkd"
    main(command)
    whole = digest(folder / "seed-0/model.safetensors")
    shutil.rmtree(folder)
    kill(1)
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 130 and list(folder.iterdir()) == []
    kill(0)
    capsys.readouterr()
    main(command)
    assert "pkd-seed-0: resuming after epoch 1 of 2" in capsys.readouterr().err
    assert digest(folder / "seed-0/model.safetensors") == whole


def test_a_teacher_that_is_trained_already_is_taken(
    words: list[str], trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    main([*words, "--seeds", "0", "--variants", "default"])
    (tmp_path / "out").rename(tmp_path / "first")
    given = tmp_path / "first/teacher"
    kept = sorted(file.name for file in given.iterdir())
    main([*words, "--seeds", "0", "--variants", "default", "--teacher", str(given), "--split", "test"])
    assert trained.count("teacher") == 1 and sorted(file.name for file in given.iterdir()) == kept
    student = "runs/default/seed-0/model.safetensors"
    assert digest(tmp_path / "out" / student) == digest(tmp_path / "first" / student)
    assert json.loads((tmp_path / "out/results.json").read_text())["teacher"]["seconds"] is None
    with pytest.raises(SystemExit):
        main([*words, "--seeds", "0", "--teacher", str(tmp_path / "nowhere")])
    assert "nowhere/model.safetensors: is missing" in capsys.readouterr().err


def test_a_variant_that_diverges_is_left_out(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main([*words, "--seeds", "0", "--variants", "default@weight=1e300", "pkd"])
    assert "warning: left out: default@weight=1e300-seed-0: the loss is not finite in epoch 1" in capsys.readouterr().err
    assert [row["variant"] for row in json.loads((tmp_path / "out/results.json").read_text())["variants"]] == ["baseline", "pkd"]


def test_other_settings_do_not_mix(words: list[str], capsys: pytest.CaptureFixture) -> None:
    main([*words, "--seeds", "0", "--variants", "baseline"])
    for change, section in (("teacher.train.lr=0.1", "teacher"), ("student.train.lr=0.1", "student")):
        with pytest.raises(SystemExit) as refused:
            main([*words, "--seeds", "0", "--variants", "baseline", "--set", change])
        assert refused.value.code == 2
        assert f"was made from other settings of {section}; choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--variants", "nonsense"], "'nonsense' is neither a variant"),
        (["--variants", "default@weight=-1"], "parameter 'distill.weight' is -1"),
        (["--variants", "default@wight=1"], "'distill.wight=1' is not an assignment to a parameter"),
        (["--set", "data.image_size=96"], "is prepared for 64 pixels, not 96"),
    ],
)
def test_bad_input_stops_it_before_any_training(
    words: list[str], trained: list[str], more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as refused:
        main([*words, *more])
    assert refused.value.code == 2
    assert message in capsys.readouterr().err
    assert trained == [] and not (tmp_path / "out").exists()


def test_other_ways_to_score_need_no_training(words: list[str], trained: list[str], tmp_path: Path) -> None:
    command = [*words, "--seeds", "0", "--variants", "baseline"]
    main(command)
    before = (tmp_path / "out/runs/baseline/seed-0/val.json").read_text()
    main([*command, "--set", "evaluate.confidence=0.5"])
    assert trained == ["teacher", "baseline-seed-0"]
    assert (tmp_path / "out/runs/baseline/seed-0/val.json").read_text() != before


def test_labelled_pictures_are_prepared_first(words: list[str], squares: Path, tmp_path: Path) -> None:
    """The squares without their summary are a data set in COCO layout."""
    shutil.copytree(squares, tmp_path / "raw")
    for split in ("train", "val", "test"):
        unpack(tmp_path / "raw" / split)
    (tmp_path / "raw/summary.json").unlink()
    main([*words, "--data", str(tmp_path / "raw"), "--seeds", "0", "--variants", "baseline"])
    assert (tmp_path / "out/prepared/summary.json").exists()
    assert not (tmp_path / "raw/summary.json").exists()


def test_students_on_a_part_of_the_labels(words: list[str], trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Alone, distilled without and with the pictures without labels, and with the teacher's boxes on these."""
    main([*words, "--seeds", "0", "--labels", "0.5", "--variants", "unlabelled"])
    names = ["baseline", "default@unlabelled=0", "default", "pseudo"]
    assert trained == ["teacher", *(f"{name}-seed-0" for name in names)]
    content = json.loads((tmp_path / "out/results.json").read_text())
    assert [row["variant"] for row in content["variants"]] == names and "--labels 0.5" in content["command"]
    models = {digest(tmp_path / f"out/runs/{name}/seed-0/model.safetensors") for name in names}
    assert len(models) == 4
    history = (tmp_path / "out/runs/pseudo/seed-0/history.csv").read_text()
    assert "distill_pseudo_objectness" in history and "distill_neck" not in history
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*words, "--seeds", "0", "--variants", "pseudo", "--out", str(tmp_path / "other")])
    assert "'pseudo' needs pictures without labels; set data.unlabelled, or --labels" in capsys.readouterr().err
