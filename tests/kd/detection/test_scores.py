import copy
import io
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kd.detection.decode import Detections
from kd.detection.scores import coco_scores, to_coco_results

CLASSES = ("cat", "dog", "cow")


def random_split(seed: int, classes: int = 2) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth with the first `classes` of three classes, and results that match some of it."""
    rng = np.random.default_rng(seed)
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)]
    ground_truth: dict[str, Any] = {"images": [], "annotations": [], "categories": categories}
    results = []
    for image_id in range(1, 9):
        ground_truth["images"].append({"id": image_id, "width": 200, "height": 200, "file_name": f"{image_id}.png"})
        for _ in range(rng.integers(0, 6)):
            x, y, w, h = (float(v) for v in rng.uniform(5, 100, 4))
            label = int(rng.integers(classes)) + 1
            row = {"id": len(ground_truth["annotations"]) + 1, "image_id": image_id, "category_id": label, "bbox": [x, y, w, h]}
            ground_truth["annotations"].append(row | {"area": w * h, "iscrowd": int(rng.random() < 0.1)})
            if rng.random() < 0.8:
                noisy = [float(v) for v in np.array([x, y, w, h]) + rng.normal(0, 4, 4)]
                results.append({"image_id": image_id, "category_id": label, "bbox": noisy, "score": float(rng.random())})
        results.append({"image_id": image_id, "category_id": 1, "bbox": [0.0, 0.0, 9.0, 9.0], "score": float(rng.random())})
    return ground_truth, results


def perfect_results(ground_truth: dict[str, Any]) -> list[dict[str, Any]]:
    objects = [a for a in ground_truth["annotations"] if not a["iscrowd"]]
    return [{**{k: a[k] for k in ("image_id", "category_id", "bbox")}, "score": 0.9} for a in objects]


def reference(ground_truth: dict[str, Any], results: list[dict[str, Any]]) -> np.ndarray:
    """The twelve numbers of pycocotools' summary."""
    with redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(ground_truth)
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_those_of_pycocotools(seed: int) -> None:
    ground_truth, results = random_split(seed)
    scores = coco_scores(ground_truth, results)
    expected = reference(ground_truth, results)
    assert (scores.map, scores.map50) == pytest.approx((expected[0], expected[1]))
    assert 0.02 < scores.map < scores.map50 < 1
    assert np.mean(scores.precision) == pytest.approx(scores.map50) and len(scores.precision) == 101


def test_per_class_scores_equal_those_of_a_split_with_this_class_only() -> None:
    ground_truth, results = random_split(0)
    scores = coco_scores(ground_truth, results)
    for label, name in enumerate(CLASSES[:2], start=1):
        only = ground_truth | {"annotations": [a for a in ground_truth["annotations"] if a["category_id"] == label]}
        expected = reference(only, [r for r in results if r["category_id"] == label])
        assert scores.per_class[name] == pytest.approx({"ap": expected[0], "ap50": expected[1]})


def test_a_class_without_objects_does_not_count() -> None:
    ground_truth, results = random_split(1)
    false_positive = [{"image_id": 1, "category_id": 3, "bbox": [0.0, 0.0, 50.0, 50.0], "score": 0.99}]
    assert coco_scores(ground_truth, results + false_positive) == coco_scores(ground_truth, results)
    assert set(coco_scores(ground_truth, results).per_class) == {"cat", "dog"}


def test_detecting_everything_scores_one_and_nothing_zero() -> None:
    ground_truth, _ = random_split(2)
    perfect = perfect_results(ground_truth)
    assert coco_scores(ground_truth, perfect).map == pytest.approx(1)
    nothing = coco_scores(ground_truth, [])
    assert nothing.map == nothing.map50 == 0 and nothing.per_class["cat"] == {"ap": 0, "ap50": 0}


@pytest.mark.parametrize("crowds_only", [True, False])
def test_without_objects_all_scores_are_zero(crowds_only: bool) -> None:
    ground_truth, results = random_split(3)
    ground_truth["annotations"] = [a | {"iscrowd": 1} for a in ground_truth["annotations"]] if crowds_only else []
    for found in (results, []):
        scores = coco_scores(ground_truth, found)
        assert (scores.map, scores.map50, scores.per_class, scores.precision) == (0, 0, {}, [])


def test_only_the_best_detections_of_a_picture_count() -> None:
    ground_truth, _ = random_split(0)
    wrong = [{"image_id": i, "category_id": k, "bbox": [150.0, 150.0, 9.0, 9.0], "score": 0.95} for i in range(1, 9) for k in (1, 2)]
    perfect = perfect_results(ground_truth)
    results = wrong + perfect
    assert coco_scores(ground_truth, results, max_detections=1).map == 0 < coco_scores(ground_truth, results, max_detections=100).map


def test_detections_become_entries_of_a_results_file() -> None:
    found = Detections(torch.tensor([[1.0, 2.0, 11.0, 22.0]]), torch.tensor([0.5]), torch.tensor([1]))
    assert to_coco_results(7, found) == [{"image_id": 7, "category_id": 2, "bbox": [1, 2, 10, 20], "score": 0.5}]
    assert to_coco_results(7, Detections(torch.empty(0, 4), torch.empty(0), torch.empty(0))) == []
