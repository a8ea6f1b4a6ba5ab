"""The bootstrap compared with pycocotools, and its confidence interval."""

from typing import Any

import numpy as np
import pytest

from components.register_model.gate.bootstrap import mean_ap, paired_bootstrap, read_matches
from kd.detection.scores import coco_evaluation, read_scores

CLASSES, PICTURES = 3, 30
Rows = list[dict[str, Any]]


def random_results(seed: int, hit: float = 0.6, crowds: float = 0.1) -> tuple[dict[str, Any], Rows]:
    """Random ground truth with crowds and empty pictures, and detections: near, far, repeated, with equal scores."""
    generator = np.random.default_rng(seed)
    objects, detections = [], []
    for image in range(1, PICTURES + 1):
        for _ in range(generator.integers(0, 5)):
            label, (x, y), (w, h) = int(generator.integers(1, CLASSES + 1)), generator.uniform(0, 90, 2), generator.uniform(10, 38, 2)
            entry = {"image_id": image, "category_id": label, "bbox": [x, y, w, h]}
            objects.append({**entry, "id": len(objects) + 1, "area": w * h, "iscrowd": int(generator.random() < crowds)})
            for _ in range(generator.binomial(3, hit)):
                box = [x + generator.normal(0, 3), y + generator.normal(0, 3), w, h]
                detections.append({**entry, "bbox": box, "score": round(float(generator.random()), 1)})
    images = [{"id": image, "width": 128, "height": 128} for image in range(1, PICTURES + 1)]
    return {"images": images, "annotations": objects, "categories": [{"id": k, "name": str(k)} for k in range(1, CLASSES + 1)]}, detections


def resampled(ground_truth: dict[str, Any], detections: Rows, counts: np.ndarray) -> tuple[dict[str, Any], Rows]:
    """A resample with its repetitions: each picture as often as it was drawn."""
    images, objects, results = [], [], []
    for image, count in zip(ground_truth["images"], counts.tolist(), strict=True):
        for _ in range(count):
            number = len(images) + 1
            images.append({**image, "id": number})
            own = [entry for entry in ground_truth["annotations"] if entry["image_id"] == image["id"]]
            objects += [{**entry, "image_id": number, "id": len(objects) + i} for i, entry in enumerate(own, 1)]
            results += [{**row, "image_id": number} for row in detections if row["image_id"] == image["id"]]
    return {**ground_truth, "images": images, "annotations": objects}, results


@pytest.mark.parametrize("seed", range(4))
def test_with_every_picture_once_the_scores_equal_pycocotools(seed: int) -> None:
    evaluation = coco_evaluation(*random_results(seed))
    [[scores, *by_class]] = mean_ap(read_matches(evaluation), np.ones((1, PICTURES), dtype=np.int64))
    expected = read_scores(evaluation)
    assert scores == pytest.approx([expected.map, expected.map50], abs=1e-12)
    assert np.array(by_class) == pytest.approx(np.array([list(values.values()) for values in expected.per_class.values()]), abs=1e-12)
    assert 0.1 < expected.map < expected.map50 < 0.9


@pytest.mark.parametrize("seed", range(4))
def test_the_scores_of_a_resample_equal_pycocotools_on_repeated_pictures(seed: int) -> None:
    ground_truth, detections = random_results(seed)
    for row, score in zip(detections, np.random.default_rng(seed).permutation(len(detections)), strict=True):
        # all different, because pycocotools orders equal scores by their position in the file
        row["score"] = (1 + int(score)) / (1 + len(detections))
    counts = np.random.default_rng(seed).multinomial(PICTURES, np.full(PICTURES, 1 / PICTURES), size=3)
    for (scores, *_), one in zip(mean_ap(read_matches(coco_evaluation(ground_truth, detections)), counts), counts, strict=True):
        expected = read_scores(coco_evaluation(*resampled(ground_truth, detections, one)))
        assert scores == pytest.approx([expected.map, expected.map50], abs=1e-12)


def test_a_class_without_objects_in_a_resample_is_left_out() -> None:
    ground_truth, detections = random_results(0, crowds=0)
    with_class = {entry["image_id"] for entry in ground_truth["annotations"] if entry["category_id"] == 1}
    counts = np.array([[int(image["id"] not in with_class) for image in ground_truth["images"]]])
    assert counts.sum() > 3
    [[scores, first, *_]] = mean_ap(read_matches(coco_evaluation(ground_truth, detections)), counts)
    assert np.isnan(first).all()
    expected = read_scores(coco_evaluation(*resampled(ground_truth, detections, counts[0])))
    assert "1" not in expected.per_class and scores == pytest.approx([expected.map, expected.map50], abs=1e-12)


def test_without_detections_or_without_objects_the_scores_are_zero() -> None:
    ground_truth, detections = random_results(0)
    once = np.ones((1, PICTURES), dtype=np.int64)
    assert mean_ap(read_matches(coco_evaluation(ground_truth, [])), once)[:, 0].tolist() == [[0, 0]]
    assert mean_ap(read_matches(coco_evaluation({**ground_truth, "annotations": []}, detections)), once)[:, 0].tolist() == [[0, 0]]


def test_a_model_compared_with_itself_has_no_gain() -> None:
    detections = read_matches(coco_evaluation(*random_results(0)))
    gains = paired_bootstrap(detections, detections, 100, 0.95)
    assert {interval for by_metric in (gains.mean, *gains.by_class.values()) for interval in by_metric.values()} == {(0, 0, 0)}


def test_the_interval_contains_the_given_share_of_resamples() -> None:
    ground_truth, detections = random_results(0)
    worse = [row for row in detections if row["image_id"] % 3]
    ours, theirs = (read_matches(coco_evaluation(ground_truth, rows)) for rows in (detections, worse))
    gains = paired_bootstrap(ours, theirs, 120, 0.9)
    generator = np.random.default_rng(0)
    draws = [generator.multinomial(PICTURES, np.full(PICTURES, 1 / PICTURES), size=size) for size in (50, 50, 20)]
    differences = np.concatenate([mean_ap(ours, counts) - mean_ap(theirs, counts) for counts in draws])
    for row, by_metric in enumerate((gains.mean, *gains.by_class.values())):
        for column, name in enumerate(("map", "map50")):
            interval = by_metric[name]
            assert interval.low < interval.difference < interval.high
            assert np.mean(differences[:, row, column] < interval.low) == pytest.approx(0.1, abs=0.01)
            assert np.mean(differences[:, row, column] > interval.high) == pytest.approx(0.1, abs=0.01)
    assert gains.mean["map"].low > 0 and gains.mean["map50"].low > 0
    mirrored, gain = paired_bootstrap(theirs, ours, 120, 0.9).mean["map"], gains.mean["map"]
    assert mirrored == pytest.approx([-gain.difference, -gain.high, -gain.low])


def test_a_class_that_a_resample_lacks_has_an_interval_from_the_other_resamples() -> None:
    ground_truth, detections = random_results(0, crowds=0)
    [kept, *_] = [entry for entry in ground_truth["annotations"] if entry["category_id"] == 1]
    rare = [entry for entry in ground_truth["annotations"] if entry["category_id"] == 2] + [kept]
    one, none = (read_matches(coco_evaluation({**ground_truth, "annotations": rare}, rows)) for rows in (detections, []))
    gains = paired_bootstrap(one, none, 100, 0.95)
    assert set(gains.by_class) == {0, 1}, "the third class has no objects"
    assert all(np.isfinite(interval).all() for by_metric in gains.by_class.values() for interval in by_metric.values())


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_not_a_significant_gain(seed: int) -> None:
    """Two models that detect different objects, the same number each."""
    ground_truth, detections = random_results(10 + seed, hit=0.9)
    coin = np.random.default_rng(seed).random(len(detections)) < 0.5
    halves = ([row for row, heads in zip(detections, coin, strict=True) if heads == side] for side in (True, False))
    gain = paired_bootstrap(*(read_matches(coco_evaluation(ground_truth, rows)) for rows in halves), 200, 0.95).mean["map"]
    assert gain.low < 0 < gain.high


def test_pictures_of_a_group_are_drawn_together() -> None:
    """Ten copies of each picture say no more than one."""
    ground_truth, detections = random_results(0, hit=0.9)
    worse = [row for row in detections if row["image_id"] % 3]
    ten_times = np.full(PICTURES, 10)
    single, copied = (
        [read_matches(coco_evaluation(*pictures)) for pictures in ((ground_truth, detections), (ground_truth, worse))]
        if copies is None
        else [read_matches(coco_evaluation(*resampled(ground_truth, rows, copies))) for rows in (detections, worse)]
        for copies in (None, ten_times)
    )
    groups = np.repeat(np.arange(PICTURES), 10)
    one, ignored, grouped = (
        paired_bootstrap(*models, 200, 0.95, groups=by).mean["map"] for models, by in ((single, None), (copied, None), (copied, groups))
    )
    assert grouped.high - grouped.low == pytest.approx(one.high - one.low, rel=0.2)
    assert ignored.high - ignored.low < 0.5 * (one.high - one.low), "copies look like evidence"


def test_more_comparisons_widen_the_interval_of_the_mean_only() -> None:
    ground_truth, detections = random_results(0)
    ours, theirs = (read_matches(coco_evaluation(ground_truth, rows)) for rows in (detections, detections[::2]))
    one, ten = (paired_bootstrap(ours, theirs, 200, 0.9, comparisons) for comparisons in (1, 10))
    assert (
        ten.mean["map"] == pytest.approx(paired_bootstrap(ours, theirs, 200, 0.99).mean["map"])
        and ten.mean["map"].low < one.mean["map"].low
    )
    assert ten.by_class == one.by_class
