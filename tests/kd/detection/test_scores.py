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
    """Truth over the first `classes` of three, and results that hit some of it."""
    rng = np.random.default_rng(seed)
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)]}
    results = []
    for image_id in range(1, 9):
        truth["images"].append({"id": image_id, "width": 200, "height": 200, "file_name": f"{image_id}.png"})
        for _ in range(rng.integers(0, 6)):
            x, y, w, h = (float(v) for v in rng.uniform(5, 100, 4))
            label = int(rng.integers(classes)) + 1
            row = {"id": len(truth["annotations"]) + 1, "image_id": image_id, "category_id": label, "bbox": [x, y, w, h]}
            truth["annotations"].append(row | {"area": w * h, "iscrowd": int(rng.random() < 0.1)})
            if rng.random() < 0.8:
                near = [float(v) for v in np.array([x, y, w, h]) + rng.normal(0, 4, 4)]
                results.append({"image_id": image_id, "category_id": label, "bbox": near, "score": float(rng.random())})
        results.append({"image_id": image_id, "category_id": 1, "bbox": [0.0, 0.0, 9.0, 9.0], "score": float(rng.random())})
    return truth, results


def reference(truth: dict[str, Any], results: list[dict[str, Any]]) -> np.ndarray:
    """The twelve numbers of COCO's own summary."""
    with redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_coco(seed: int) -> None:
    truth, results = random_split(seed)
    scores = coco_scores(truth, results)
    expected = reference(truth, results)
    assert (scores.map, scores.map50) == pytest.approx((expected[0], expected[1]))
    assert 0.02 < scores.map < scores.map50 < 1
    assert np.mean(scores.precision) == pytest.approx(scores.map50) and len(scores.precision) == 101


def test_per_class_scores_are_those_of_a_split_with_this_class_alone() -> None:
    truth, results = random_split(0)
    scores = coco_scores(truth, results)
    for label, name in enumerate(CLASSES[:2], start=1):
        only = truth | {"annotations": [a for a in truth["annotations"] if a["category_id"] == label]}
        expected = reference(only, [r for r in results if r["category_id"] == label])
        assert scores.per_class[name] == pytest.approx({"ap": expected[0], "ap50": expected[1]})


def test_a_class_that_does_not_occur_counts_nowhere() -> None:
    truth, results = random_split(1)
    invented = [{"image_id": 1, "category_id": 3, "bbox": [0.0, 0.0, 50.0, 50.0], "score": 0.99}]
    assert coco_scores(truth, results + invented) == coco_scores(truth, results)
    assert set(coco_scores(truth, results).per_class) == {"cat", "dog"}


def test_finding_everything_scores_one_and_nothing_zero() -> None:
    truth, _ = random_split(2)
    perfect = [{**{k: a[k] for k in ("image_id", "category_id", "bbox")}, "score": 0.9} for a in truth["annotations"] if not a["iscrowd"]]
    assert coco_scores(truth, perfect).map == pytest.approx(1)
    nothing = coco_scores(truth, [])
    assert nothing.map == nothing.map50 == 0 and nothing.per_class["cat"] == {"ap": 0, "ap50": 0}


@pytest.mark.parametrize("crowds_only", [True, False])
def test_without_truth_there_is_nothing_to_score(crowds_only: bool) -> None:
    truth, results = random_split(3)
    truth["annotations"] = [a | {"iscrowd": 1} for a in truth["annotations"]] if crowds_only else []
    for found in (results, []):
        scores = coco_scores(truth, found)
        assert (scores.map, scores.map50, scores.per_class, scores.precision) == (0, 0, {}, [])


def test_only_the_best_detections_of_a_picture_count() -> None:
    truth, _ = random_split(0)
    wrong = [{"image_id": i, "category_id": k, "bbox": [150.0, 150.0, 9.0, 9.0], "score": 0.95} for i in range(1, 9) for k in (1, 2)]
    perfect = [{**{k: a[k] for k in ("image_id", "category_id", "bbox")}, "score": 0.9} for a in truth["annotations"] if not a["iscrowd"]]
    assert coco_scores(truth, wrong + perfect, max_detections=1).map == 0 < coco_scores(truth, wrong + perfect, max_detections=100).map


def test_detections_become_entries_of_a_results_file() -> None:
    found = Detections(torch.tensor([[1.0, 2.0, 11.0, 22.0]]), torch.tensor([0.5]), torch.tensor([1]))
    assert to_coco_results(7, found) == [{"image_id": 7, "category_id": 2, "bbox": [1, 2, 10, 20], "score": 0.5}]
    assert to_coco_results(7, Detections(torch.empty(0, 4), torch.empty(0), torch.empty(0))) == []
