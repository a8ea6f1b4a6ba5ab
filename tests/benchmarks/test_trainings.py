"""What a folder was made from, how trainings are timed, and how a published method is built."""

from pathlib import Path

import pytest

from benchmarks.published import PUBLISHED_METHODS
from benchmarks.trainings import MADE_FROM, Ablation, TimingRun, once
from benchmarks.variants import parse
from components.params.load import load_params
from kd.errors import InputError
from kd.files import read_json
from tests.benchmarks.conftest import ROOT, SMALL


def fill(folder: Path) -> None:
    (folder / "result").write_text("made")


def test_a_folder_is_made_once_and_knows_from_what(tmp_path: Path) -> None:
    once(tmp_path / "a", {"seed": 1, "data": "d"}, fill)
    assert read_json(tmp_path / "a" / MADE_FROM) == {"seed": 1, "data": "d"}
    (tmp_path / "a/result").write_text("kept")
    once(tmp_path / "a", {"seed": 1, "data": "d"}, fill)
    assert (tmp_path / "a/result").read_text() == "kept"
    with pytest.raises(InputError, match=r"a: was made from other settings of seed, teacher; choose another --out"):
        once(tmp_path / "a", {"seed": 2, "data": "d", "teacher": "t"}, fill)


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        fill(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        once(tmp_path / "a", {}, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_went_on_counts_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 104.0, 110.0])
    monkeypatch.setattr("benchmarks.trainings.time.monotonic", lambda: next(now))
    watch = TimingRun()
    watch.log_metrics({"loss": 1.0}, step=7)
    watch.log_metrics({"parameters": 5.0})  # a fact of the run, and no epoch
    watch.log_metrics({"loss": 1.0}, step=8)
    assert watch.seconds(8) == pytest.approx(10.0 / 2 * 8)


def test_a_training_without_an_epoch_left_has_no_time() -> None:
    assert TimingRun().seconds(8) is None


def test_a_published_method_replaces_the_loss_and_its_maps_only(squares: Path, tmp_path: Path) -> None:
    params = load_params(ROOT / "params.yaml", SMALL)
    ablation = Ablation(tmp_path, squares, params, 0)
    ablation.train_teacher()
    maps = ablation.compute_maps(params)
    ours = ablation._distillation(parse("default"), params, maps)
    for name, method in PUBLISHED_METHODS.items():
        other = ablation._distillation(parse(name), params, maps)
        assert other.args[2:] == ours.args[2:], "the same settings and maps"
        assert other.keywords["tap_loss"] is method.tap_loss and "tap_loss" not in ours.keywords
        assert other.keywords["live"] == (other.keywords["map_function"] is not None) == (name in ("fgfi", "fgd"))
