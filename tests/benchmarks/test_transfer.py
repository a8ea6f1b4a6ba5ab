"""The experiment on transfer, tiny: the halves of the data, what each training starts from, and that nothing runs twice."""

from pathlib import Path

import pytest

from benchmarks import transfer
from kd.data.dataset import DetectionData
from kd.files import digest, read_json
from kd.model.store import load_init_metadata, load_spec
from tests.kd.train.squares import SIDE, write_squares


def test_a_half_has_only_its_own_objects_and_pictures(squares: Path, tmp_path: Path) -> None:
    data = write_squares(tmp_path / "squares", train=12)
    (tmp_path / "half").mkdir()
    transfer.write_half(data, ["blue"], tmp_path / "half")
    summary, whole = read_json(tmp_path / "half/summary.json"), DetectionData(data / "train", SIDE)
    half = DetectionData(tmp_path / "half/train", SIDE)
    expected = [(whole.names[i], *boxes[labels == 1].tolist()) for i in range(len(whole)) for boxes, labels in [whole.objects(i)[:2]]]
    found = [(half.names[i], *half.objects(i)[0].tolist()) for i in range(len(half))]
    assert found == [row for row in expected if len(row) > 1] and 0 < len(found) < len(whole)
    assert {label for i in range(len(half)) for label in half.objects(i)[1].tolist()} == {0}
    assert summary["classes"] == ["blue"] and set(summary["anchors"]) == {"yolov3", "yolov3-tiny"}
    assert summary["digest"] != read_json(data / "summary.json")["digest"]


def test_every_training_runs_once_and_starts_where_it_should(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words += ["--seeds", "0", "1", "--set", "teacher.train.epochs=2", "--set", "teacher.train.batch=4"]
    transfer.main(words)
    out = tmp_path / "out"
    table = capsys.readouterr().out
    assert "| random weights | 2 |" in table and "| transferred weights | 1 |" in table
    assert load_spec(out / "teacher/model.safetensors").classes == ("red",)
    for seed in (0, 1):
        models = {name: out / f"{name}/seed-{seed}/model.safetensors" for name in ("random", "transferred")}
        assert {load_spec(model).classes for model in models.values()} == {("blue",)}
        assert load_init_metadata(models["random"]) == {}
        assert load_init_metadata(models["transferred"])["init_digest"] == digest(out / "teacher/model.safetensors")
    before = {file: file.stat().st_mtime_ns for file in out.rglob("model.safetensors")}
    transfer.main(words)
    assert capsys.readouterr().out == table
    assert {file: file.stat().st_mtime_ns for file in out.rglob("model.safetensors")} == before


def test_data_without_a_val_split_are_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words[1] = str(write_squares(tmp_path / "squares", val=0))
    with pytest.raises(SystemExit):
        transfer.main(words)
    assert "or no val split; choose other data" in capsys.readouterr().err
