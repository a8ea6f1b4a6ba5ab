"""The step as a whole, on untrained models with many detections."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from components.evaluate.step import evaluate, gain
from components.params.models import Params
from components.runtime.command import run_step
from kd.data.dataset import DetectionData
from kd.detection.evaluate import NMSConfig, detect
from kd.detection.scores import to_coco_results
from kd.errors import InputError
from kd.files import digest, write_json
from kd.model.store import load_model
from tests.components.stores import new_store
from tests.components.trained import CLASSES, SIDE

MODELS = ("teacher", "baseline", "student")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def label_some_detections(outputs: dict[str, Path]) -> None:
    """Label the third best detection of each model in each test picture as one of the first two classes, so that no score is 0 or 1."""
    file = outputs["data"] / "test/annotations.json"
    ground_truth, test = json.loads(file.read_text()), DetectionData(file.parent, SIDE)
    annotations: list[dict[str, Any]] = []
    for name in MODELS:
        network, spec = load_model(outputs[name] / "model.safetensors")
        for image_id, found in zip(test.ids, detect(network, spec.anchors, test, NMSConfig()), strict=True):
            row = to_coco_results(image_id, found)[2]
            x, y, width, height = row["bbox"]
            entry = {"id": len(annotations) + 1, "image_id": image_id, "category_id": min(row["category_id"], 2)}
            annotations.append(entry | {"bbox": [x, y, width, height], "area": width * height, "iscrowd": 0})
    write_json(file, ground_truth | {"annotations": annotations})


def test_scores_equal_those_of_pycocotools(
    outputs: dict[str, Path], params: Params, evaluated: Callable[..., Path], tmp_path: Path
) -> None:
    label_some_detections(outputs)
    metrics = json.loads((evaluated() / "metrics.json").read_text())
    assert set(metrics) == {*MODELS, "gain"}
    for name in MODELS:
        network, spec = load_model(outputs[name] / "model.safetensors")
        test = DetectionData(outputs["data"] / "test", SIDE)
        nms = NMSConfig(params.evaluate.confidence, params.evaluate.nms_iou, 30)
        found = zip(test.ids, detect(network, spec.anchors, test, nms), strict=True)
        results = [row for image_id, one in found for row in to_coco_results(image_id, one)]
        ground_truth = COCO(outputs["data"] / "test/annotations.json")
        reference = COCOeval(ground_truth, ground_truth.loadRes(results), "bbox")
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


def test_metrics_json_is_flat_enough_for_dvc_metrics_show(evaluated: Callable[..., Path]) -> None:
    """`dvc metrics show` has a column for each number: five for each model, and three of the gain."""
    metrics = json.loads((evaluated() / "metrics.json").read_text())
    assert all(isinstance(value, int | float) for values in metrics.values() for value in values.values())
    assert sum(map(len, metrics.values())) <= 18


def test_metrics_contain_the_size_of_a_model(outputs: dict[str, Path], evaluated: Callable[..., Path]) -> None:
    student = json.loads((evaluated() / "metrics.json").read_text())["student"]
    file = outputs["student"] / "model.safetensors"
    network, _ = load_model(file)
    assert student["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert student["megabytes"] == pytest.approx(file.stat().st_size / 1e6, abs=1e-6)
    assert 0 < student["gigaflops"] < 0.1


def test_gain() -> None:
    metrics = {"teacher": {"map": 0.7, "map50": 0.9}, "baseline": {"map": 0.4, "map50": 0.5}, "student": {"map": 0.5, "map50": 0.6}}
    assert gain(metrics) == {"map": 0.1, "map50": 0.1, "gap_closed": 0.25}
    metrics["teacher"]["map50"] = 0.5
    assert gain(metrics) == {"map": 0.1, "map50": 0.1}, "without a gap there is no share of it"


def test_equal_inputs_give_equal_bytes(evaluated: Callable[..., Path]) -> None:
    assert digest(evaluated("one")) == digest(evaluated("two"))


def test_no_output_contains_a_path_or_a_latency(evaluated: Callable[..., Path], tmp_path: Path) -> None:
    output = evaluated()
    files = {file.name: file.read_text() for file in output.iterdir()}
    assert set(files) == {
        "metrics.json", "report.html", "learning_curves.csv", "losses.csv", "precision_recall.csv", "per_class.csv",
    }  # fmt: skip
    assert not [name for name, text in files.items() if str(tmp_path) in text or "latency" in text]


def test_scores_latencies_and_report_are_logged(evaluated: Callable[..., Path], outputs: dict[str, Path], run: Any) -> None:
    metrics = json.loads((evaluated() / "metrics.json").read_text())
    [(logged,)] = run.of("metrics")
    assert logged["student.map50"] == metrics["student"]["map50"] and logged["gain.map"] == metrics["gain"]["map"]
    assert all(logged[f"{name}.latency_ms"] > 0 for name in MODELS)
    assert not [name for name in logged if "class" in name], "MLflow may reject the name of a class"
    assert run.of("dataset") == [("prepared", str(outputs["data"]), "0123abcd", "test")]
    assert run.of("artifact") == [("report.html",)]


def test_without_a_val_split_or_labels_the_plots_are_empty(outputs: dict[str, Path], evaluated: Callable[..., Path]) -> None:
    for name in MODELS:
        (outputs[name] / "history.csv").write_text("epoch,box,objectness,class\n1,3,2,1\n")
    file = outputs["data"] / "test/annotations.json"
    write_json(file, json.loads(file.read_text()) | {"annotations": []})
    output = evaluated()
    assert json.loads((output / "metrics.json").read_text())["gain"] == {"map": 0.0, "map50": 0.0}
    assert rows(output / "learning_curves.csv") == rows(output / "per_class.csv") == []
    assert "there are no scores" in (output / "report.html").read_text()


def test_a_missing_model_leaves_no_output(outputs: dict[str, Path], params: Params, tmp_path: Path) -> None:
    new_store(tmp_path)
    (outputs["baseline"] / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"train_baseline/model\.safetensors: is missing"):
        run_step(evaluate, params)
    assert not (tmp_path / "outputs/evaluate").exists()
    assert not list((tmp_path / "outputs").glob(".evaluate*"))


def test_a_split_without_pictures_is_refused(outputs: dict[str, Path], evaluated: Callable[..., Path]) -> None:
    file = outputs["data"] / "test/annotations.json"
    write_json(file, json.loads(file.read_text()) | {"annotations": [], "images": []})
    with pytest.raises(InputError, match="test: has no pictures"):
        evaluated()
