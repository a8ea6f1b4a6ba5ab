"""Whether the parts of the benchmark of large datasets run one after the other, and how growth is told from noise."""

from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.scale import MAX_GROWTH, assess, load_epoch, main, measure_here
from kd.data.augment import AugmentConfig
from kd.data.dataset import DetectionData


def test_each_part_runs_on_what_the_part_before_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(scale, "_in_fresh_process", measure_here)
    main(["--pictures", "100", "--size", "64", "--folder", str(tmp_path)])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["prepare_data", "compute_info_maps", "load"]
    assert all(float(row[1]) > 0 and float(row[2]) > 10 for row in rows)
    assert 5 < int(rows[0][3]) < 30 and "reached" in rows[0] and 6 < int(rows[1][3]) < 20
    assert rows[2][-1] == "reached)" and int(rows[2][3]) > 0
    assert list(tmp_path.iterdir()) == []


def test_growth_is_that_from_the_first_tenth_of_an_epoch_to_the_last(squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "BATCH", 1)
    monkeypatch.setattr(scale, "SAMPLES", 8)
    memory = iter([5.0, 100, 100, 100, 100, 100, 100, 8])
    data = DetectionData(squares / "train", 64)
    found = load_epoch(data, None, AugmentConfig(), 0, lambda: next(memory))
    assert (found.pictures, found.growth) == (8, 3) and found.seconds > 0


def test_targets_are_judged() -> None:
    assert assess("prepare_data", {"files": 300.0}) == "at most 300 files reached"
    assert assess("prepare_data", {"files": 301.0}) == "at most 300 files MISSED"
    loaded = {"pictures": 100.0, "loading": 2.0, "growth": 2 * MAX_GROWTH}
    assert assess("load", loaded) == "50 pictures a second; memory grows by 100.0 MB (at most 50 MISSED)"
    assert assess("load", loaded | {"growth": -1e6}).endswith("grows by -1.0 MB (at most 50 reached)")
