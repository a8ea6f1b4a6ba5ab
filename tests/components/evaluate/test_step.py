"""The step as a whole, on untrained models that find many things."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from components.evaluate.report.models import read_history
from components.evaluate.step import evaluate, gain, gigaflops
from components.params.models import Params
from components.runtime.command import run_step
from kd.data.dataset import DetectionData
from kd.detection.evaluate import NMSConfig, detect
from kd.detection.scores import to_coco_results
from kd.errors import InputError
from kd.files import digest, write_json
from kd.model.darknet import published_spec
from kd.model.store import load_model
from tests.components.stores import new_store
from tests.components.trained import CLASSES, HISTORY, SIDE, write_model, write_outputs

MODELS = ("teacher", "baseline", "student")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)
    return write_outputs(tmp_path)


@pytest.fixture
def params(params_with: Callable[..., Params]) -> Params:
    return params_with("evaluate.pictures=3", "evaluate.max_detections=30")


@pytest.fixture
def evaluated(places: dict[str, Path], params: Params, run: Any) -> Callable[..., Path]:
    """Run the step as it stands; return the folder that it wrote to."""

    def once(name: str = "evaluated") -> Path:
        output = places["data"].parent / name
        output.mkdir()
        evaluate(params, run, **places, output=output)
        return output

    return once


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def label_what_they_find(places: dict[str, Path]) -> None:
    """Make each model's third best find on each test picture an object of the first two classes: all score between 0 and 1."""
    file = places["data"] / "test/annotations.json"
    truth, test = json.loads(file.read_text()), DetectionData(file.parent, SIDE)
    annotations: list[dict[str, Any]] = []
    for name in MODELS:
        network, spec = load_model(places[name] / "model.safetensors")
        for image_id, found in zip(test.ids, detect(network, spec.anchors, test, NMSConfig()), strict=True):
            row = to_coco_results(image_id, found)[2]
            x, y, width, height = row["bbox"]
            entry = {"id": len(annotations) + 1, "image_id": image_id, "category_id": min(row["category_id"], 2)}
            annotations.append(entry | {"bbox": [x, y, width, height], "area": width * height, "iscrowd": 0})
    write_json(file, truth | {"annotations": annotations})


def test_scores_are_those_of_pycocotools(places: dict[str, Path], params: Params, evaluated: Callable[..., Path], tmp_path: Path) -> None:
    label_what_they_find(places)
    metrics = json.loads((evaluated() / "metrics.json").read_text())
    assert set(metrics) == {*MODELS, "gain"}
    for name in MODELS:
        network, spec = load_model(places[name] / "model.safetensors")
        test = DetectionData(places["data"] / "test", SIDE)
        nms = NMSConfig(params.evaluate.confidence, params.evaluate.nms_iou, 30)
        found = zip(test.ids, detect(network, spec.anchors, test, nms), strict=True)
        results = [row for image_id, one in found for row in to_coco_results(image_id, one)]
        truth = COCO(places["data"] / "test/annotations.json")
        reference = COCOeval(truth, truth.loadRes(results), "bbox")
        reference.params.maxDets = [1, 10, 30]
        reference.evaluate()
        reference.accumulate()
        precision = reference.eval["precision"][:, :, :, 0, 2]
        present = precision[:, :, :2]
        assert metrics[name]["map"] == pytest.approx(present.mean(), abs=1e-6)
        assert metrics[name]["map50"] == pytest.approx(present[0].mean(), abs=1e-6)
        per_class = {row["class"]: row for row in rows(tmp_path / "outputs/evaluated/per_class.csv") if row["model"] == name}
        assert set(per_class) == set(CLASSES[:2]), "a class without objects has no score"
        assert float(per_class[CLASSES[1]]["ap50"]) == pytest.approx(precision[0, :, 1].mean(), abs=1e-5)
        assert float(per_class[CLASSES[1]]["ap"]) == pytest.approx(precision[:, :, 1].mean(), abs=1e-5)
    assert len({metrics[name]["map50"] for name in MODELS}) == 3
    assert all(0 < metrics[name]["map"] <= metrics[name]["map50"] < 1 for name in MODELS)


def test_metrics_fit_into_a_table(evaluated: Callable[..., Path]) -> None:
    """`dvc metrics show` has a column for each number: five for each model, and three of the gain."""
    metrics = json.loads((evaluated() / "metrics.json").read_text())
    assert all(isinstance(value, int | float) for values in metrics.values() for value in values.values())
    assert sum(map(len, metrics.values())) <= 18


def test_a_model_is_measured(places: dict[str, Path], evaluated: Callable[..., Path]) -> None:
    student = json.loads((evaluated() / "metrics.json").read_text())["student"]
    file = places["student"] / "model.safetensors"
    network, _ = load_model(file)
    assert student["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert student["megabytes"] == pytest.approx(file.stat().st_size / 1e6, abs=1e-6)
    assert 0 < student["gigaflops"] < 0.1


@pytest.mark.parametrize(("architecture", "billions"), [("yolov3-tiny", 5.56), ("yolov3", 65.86)])
def test_flops_are_the_published_ones(architecture: str, billions: float) -> None:
    assert gigaflops(published_spec(architecture, tuple(map(str, range(80))))) == pytest.approx(billions, rel=0.01)


def test_gain() -> None:
    metrics = {"teacher": {"map": 0.7, "map50": 0.9}, "baseline": {"map": 0.4, "map50": 0.5}, "student": {"map": 0.5, "map50": 0.6}}
    assert gain(metrics) == {"map": 0.1, "map50": 0.1, "gap_closed": 0.25}
    metrics["teacher"]["map50"] = 0.5
    assert gain(metrics) == {"map": 0.1, "map50": 0.1}, "no gap, no share of it"


def test_equal_inputs_give_equal_bytes(evaluated: Callable[..., Path]) -> None:
    assert digest(evaluated("one")) == digest(evaluated("two"))


def test_no_output_names_a_place_or_a_time(evaluated: Callable[..., Path], tmp_path: Path) -> None:
    output = evaluated()
    files = {file.name: file.read_text() for file in output.iterdir()}
    assert set(files) == {
        "metrics.json", "report.html", "learning_curves.csv", "losses.csv", "precision_recall.csv", "per_class.csv",
    }  # fmt: skip
    assert not [name for name, text in files.items() if str(tmp_path) in text or "latency" in text]


def test_plots_have_no_empty_cells(evaluated: Callable[..., Path]) -> None:
    output = evaluated()
    tables = {file.stem: rows(file) for file in output.glob("*.csv")}
    assert all(all(row.values()) for table in tables.values() for row in table)
    assert [list(row.values()) for row in tables["learning_curves"]] == [
        ["teacher", "2", "0.2"],
        ["baseline", "2", "0.2"],
        ["student", "2", "0.3"],
    ]
    assert list(tables["losses"][1].values()) == ["teacher", "2", "3.5"]
    assert [len(table) for table in (tables["precision_recall"], tables["per_class"])] == [3 * 101, 3 * 2]
    assert list(tables["precision_recall"][0]) == ["model", "recall", "precision"]
    assert list(tables["per_class"][0]) == ["model", "class", "ap", "ap50"]


def test_what_the_run_is_told(evaluated: Callable[..., Path], places: dict[str, Path], run: Any) -> None:
    metrics = json.loads((evaluated() / "metrics.json").read_text())
    [(told,)] = run.of("metrics")
    assert told["student.map50"] == metrics["student"]["map50"] and told["gain.map"] == metrics["gain"]["map"]
    assert all(told[f"{name}.latency_ms"] > 0 for name in MODELS)
    assert not [name for name in told if "class" in name], "a class may have a name that MLflow refuses"
    assert run.of("dataset") == [("prepared", str(places["data"]), "0123abcd", "test")]
    assert run.of("artifact") == [("report.html",)]


def test_without_a_val_split_or_anything_to_find(places: dict[str, Path], evaluated: Callable[..., Path]) -> None:
    for name in MODELS:
        (places[name] / "history.csv").write_text("epoch,box,objectness,class\n1,3,2,1\n")
    file = places["data"] / "test/annotations.json"
    write_json(file, json.loads(file.read_text()) | {"annotations": []})
    output = evaluated()
    assert json.loads((output / "metrics.json").read_text())["gain"] == {"map": 0.0, "map50": 0.0}
    assert rows(output / "learning_curves.csv") == rows(output / "per_class.csv") == []
    assert "there are no scores" in (output / "report.html").read_text()


def test_a_missing_model_leaves_no_output(places: dict[str, Path], params: Params, tmp_path: Path) -> None:
    new_store(tmp_path)
    (places["baseline"] / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"train_baseline/model\.safetensors: is missing"):
        run_step(evaluate, params)
    assert not (tmp_path / "outputs/evaluate").exists()
    assert not list((tmp_path / "outputs").glob(".evaluate*"))


def test_a_model_for_other_classes_is_refused(places: dict[str, Path], evaluated: Callable[..., Path]) -> None:
    write_model(places["student"], "yolov3-tiny", ["class 0", "other", "class 2"], seed=0)
    with pytest.raises(InputError, match="is for other classes"):
        evaluated()


def test_a_split_without_pictures_is_refused(places: dict[str, Path], evaluated: Callable[..., Path]) -> None:
    file = places["data"] / "test/annotations.json"
    write_json(file, json.loads(file.read_text()) | {"annotations": [], "images": []})
    with pytest.raises(InputError, match="test: has no pictures"):
        evaluated()


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "is missing"), (HISTORY.replace("box", "fox"), "lacks a column"), (HISTORY + "3,many\n", "is not a table of numbers")],
)
def test_a_history_that_is_none(tmp_path: Path, content: str | None, problem: str) -> None:
    file = tmp_path / "history.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=problem):
        read_history(file)
