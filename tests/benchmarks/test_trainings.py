"""What a folder remembers, what a stopwatch counts, and how a rival teaches."""

from pathlib import Path

import pytest
from torch import nn

from benchmarks.published import PUBLISHED_METHODS
from benchmarks.trainings import MADE_FROM, TimingRun, once, taught
from kd.distillation.loss import Distill
from kd.distillation.map_generator import Cartographer
from kd.errors import InputError
from kd.files import read_json
from kd.model.spec import ModelSpec
from kd.train.fit import Lesson


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
    watch.metrics({"loss": 1.0}, step=7)
    watch.metrics({"parameters": 5.0})  # a fact of the run, and no epoch
    watch.metrics({"loss": 1.0}, step=8)
    assert watch.seconds(8) == pytest.approx(10.0 / 2 * 8)


def test_a_training_without_an_epoch_left_has_no_time() -> None:
    assert TimingRun().seconds(8) is None


def test_a_rival_changes_the_loss_and_its_maps_alone() -> None:
    spec = ModelSpec("yolov3", 0.1, 0.1, ("a",), {}, 64)
    lesson = Lesson(nn.Identity(), spec, Distill(weight=3.0), Path("maps"), live=True)
    assert taught(lesson, None) is lesson
    for name, published in PUBLISHED_METHODS.items():
        other = taught(lesson, name)
        assert other.tap_loss is published.tap_loss is not lesson.tap_loss
        assert (other.distill, other.teacher, other.maps) == (lesson.distill, lesson.teacher, lesson.maps)
        assert other.live == (other.cartographer is not Cartographer)
    assert {name for name in PUBLISHED_METHODS if taught(lesson, name).live} == {"fgfi", "fgd"}
