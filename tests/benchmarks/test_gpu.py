"""The benchmark of a GPU, tried on the CPU with tiny networks."""

import json

import pytest
import torch

from benchmarks.gpu import TRAININGS, main
from tests.benchmarks.conftest import ROOT

PARAMS = ["--params", str(ROOT / "examples/paper.yaml")]


def test_every_training_is_measured(capsys: pytest.CaptureFixture) -> None:
    main([*PARAMS, "--device", "cpu", "--pictures", "24", "--minutes", "0"])
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    rows = {(row["training"], row["deterministic"]): row for row in report["trainings"]}
    assert list(rows) == [(name, deterministic) for deterministic in (True, False) for name in TRAININGS]
    assert report["image_size"] == 64 and report["roof_tflops"] > 0 and report["roof_dtype"] == "float32"
    for row in rows.values():
        assert row["pictures_per_second"] > 0 and row["ready_per_second"] > 0 and row["dtype"] == "float32"
        assert 0 < row["roof_share"] < 1 and row["idle_share"] is None and row["sync_free"] is None
    plain, distilled, teacher = (rows[name, True]["gflops_per_picture"] for name in ("baseline", "distillation", "teacher"))
    assert plain + teacher / 4 < distilled < plain + teacher, "a distillation runs the teacher forward only"
    assert "roof_share" not in captured.err and len([line for line in captured.err.splitlines() if "distillation" in line]) == 2


def test_without_a_gpu_it_is_one_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as exit_:
        main(PARAMS)
    captured = capsys.readouterr()
    assert exit_.value.code == 2 and captured.out == ""
    assert captured.err.splitlines() == [
        "error: --device: is cuda, but torch finds no GPU; run this on a machine with a GPU, or try it with --device cpu"
    ]


def test_too_few_pictures_are_an_error(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main([*PARAMS, "--device", "cpu", "--pictures", "12"])
    assert "error: --pictures" in capsys.readouterr().err
