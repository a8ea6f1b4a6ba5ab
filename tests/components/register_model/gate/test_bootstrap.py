"""The bootstrap against pycocotools, and what its interval means."""

from typing import Any

import numpy as np
import pytest

from components.register_model.gate.bootstrap import maps, matches, paired_bootstrap
from kd.detection.scores import coco_evaluation, read_scores

CLASSES, PICTURES = 3, 30
Rows = list[dict[str, Any]]


def made_up(seed: int, hit: float = 0.6, crowds: float = 0.1) -> tuple[dict[str, Any], Rows]:
    """A truth with crowds and pictures without objects, and detections of it: near, far, repeated, with equal scores."""
    source = np.random.default_rng(seed)
    objects, found = [], []
    for image in range(1, PICTURES + 1):
        for _ in range(source.integers(0, 5)):
            label, (x, y), (w, h) = int(source.integers(1, CLASSES + 1)), source.uniform(0, 90, 2), source.uniform(10, 38, 2)
            entry = {"image_id": image, "category_id": label, "bbox": [x, y, w, h]}
            objects.append({**entry, "id": len(objects) + 1, "area": w * h, "iscrowd": int(source.random() < crowds)})
            for _ in range(source.binomial(3, hit)):
                box = [x + source.normal(0, 3), y + source.normal(0, 3), w, h]
                found.append({**entry, "bbox": box, "score": round(float(source.random()), 1)})
    images = [{"id": image, "width": 128, "height": 128} for image in range(1, PICTURES + 1)]
    return {"images": images, "annotations": objects, "categories": [{"id": k, "name": str(k)} for k in range(1, CLASSES + 1)]}, found


def drawn_again(truth: dict[str, Any], found: Rows, counts: np.ndarray) -> tuple[dict[str, Any], Rows]:
    """The resample written out: each picture as often as it was drawn."""
    images, objects, results = [], [], []
    for image, count in zip(truth["images"], counts.tolist(), strict=True):
        for _ in range(count):
            number = len(images) + 1
            images.append({**image, "id": number})
            of_it = [entry for entry in truth["annotations"] if entry["image_id"] == image["id"]]
            objects += [{**entry, "image_id": number, "id": len(objects) + i} for i, entry in enumerate(of_it, 1)]
            results += [{**row, "image_id": number} for row in found if row["image_id"] == image["id"]]
    return {**truth, "images": images, "annotations": objects}, results


@pytest.mark.parametrize("seed", range(4))
def test_drawing_every_picture_once_is_pycocotools(seed: int) -> None:
    evaluation = coco_evaluation(*made_up(seed))
    [scores] = maps(matches(evaluation), np.ones((1, PICTURES), dtype=np.int64))
    expected = read_scores(evaluation)
    assert scores == pytest.approx([expected.map, expected.map50], abs=1e-12)
    assert 0.1 < expected.map < expected.map50 < 0.9


@pytest.mark.parametrize("seed", range(4))
def test_a_resample_is_pycocotools_on_the_pictures_written_out(seed: int) -> None:
    truth, found = made_up(seed)
    for row, score in zip(found, np.random.default_rng(seed).permutation(len(found)), strict=True):
        row["score"] = (1 + int(score)) / (1 + len(found))  # all different: pycocotools orders equal ones by their place in the file
    counts = np.random.default_rng(seed).multinomial(PICTURES, np.full(PICTURES, 1 / PICTURES), size=3)
    for scores, one in zip(maps(matches(coco_evaluation(truth, found)), counts), counts, strict=True):
        expected = read_scores(coco_evaluation(*drawn_again(truth, found, one)))
        assert scores == pytest.approx([expected.map, expected.map50], abs=1e-12)


def test_a_class_that_a_resample_lacks_is_left_out() -> None:
    truth, found = made_up(0, crowds=0)
    holders = {entry["image_id"] for entry in truth["annotations"] if entry["category_id"] == 1}
    counts = np.array([[int(image["id"] not in holders) for image in truth["images"]]])
    assert counts.sum() > 3
    [scores] = maps(matches(coco_evaluation(truth, found)), counts)
    expected = read_scores(coco_evaluation(*drawn_again(truth, found, counts[0])))
    assert "1" not in expected.per_class and scores == pytest.approx([expected.map, expected.map50], abs=1e-12)


def test_nothing_found_and_nothing_labelled_score_zero() -> None:
    truth, found = made_up(0)
    once = np.ones((1, PICTURES), dtype=np.int64)
    assert maps(matches(coco_evaluation(truth, [])), once).tolist() == [[0, 0]]
    assert maps(matches(coco_evaluation({**truth, "annotations": []}, found)), once).tolist() == [[0, 0]]


def test_a_model_against_itself_has_no_gain() -> None:
    found = matches(coco_evaluation(*made_up(0)))
    assert set(paired_bootstrap(found, found, 100, 0.95).values()) == {(0, 0, 0)}


def test_the_interval_holds_what_the_resamples_say() -> None:
    truth, found = made_up(0)
    worse = [row for row in found if row["image_id"] % 3]
    ours, theirs = (matches(coco_evaluation(truth, rows)) for rows in (found, worse))
    gain = paired_bootstrap(ours, theirs, 120, 0.9)
    source = np.random.default_rng(0)
    draws = [source.multinomial(PICTURES, np.full(PICTURES, 1 / PICTURES), size=size) for size in (50, 50, 20)]
    differences = np.concatenate([maps(ours, counts) - maps(theirs, counts) for counts in draws])
    for column, name in enumerate(("map", "map50")):
        interval = gain[name]
        assert 0 < interval.low < interval.difference < interval.high
        assert np.mean(differences[:, column] < interval.low) == pytest.approx(0.1, abs=0.01)
        assert np.mean(differences[:, column] > interval.high) == pytest.approx(0.1, abs=0.01)
    mirrored = paired_bootstrap(theirs, ours, 120, 0.9)["map"]
    assert mirrored == pytest.approx([-gain["map"].difference, -gain["map"].high, -gain["map"].low])


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_not_called_a_gain(seed: int) -> None:
    """Two models that find different objects, equally many."""
    truth, found = made_up(10 + seed, hit=0.9)
    coin = np.random.default_rng(seed).random(len(found)) < 0.5
    halves = ([row for row, heads in zip(found, coin, strict=True) if heads == side] for side in (True, False))
    gain = paired_bootstrap(*(matches(coco_evaluation(truth, rows)) for rows in halves), 200, 0.95)["map"]
    assert gain.low < 0 < gain.high
