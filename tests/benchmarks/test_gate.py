"""The trials of the gate, with random detections instead of trained models."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate import Model, passes_gate, promotion_rate, subset
from components.params.load import load_params
from components.params.models import Gate
from components.register_model.gate.bootstrap import mean_ap, read_matches
from kd.detection.scores import coco_evaluation, coco_scores
from tests.components.register_model.gate.test_bootstrap import PICTURES, random_results

CLASSES = ("1", "2", "3")
GROUND_TRUTH, DETECTIONS = random_results(0, hit=0.9)


def model(keep: float) -> Model:
    """A model that finds a share of the detections."""
    coin = np.random.default_rng(1).random(len(DETECTIONS)) < keep
    return read_matches(coco_evaluation(GROUND_TRUTH, [row for row, kept in zip(DETECTIONS, coin, strict=True) if kept]))


@pytest.fixture
def gate() -> Gate:
    gate = load_params(Path(__file__).parents[2] / "params.yaml").register_model.gate
    return gate.model_copy(update={"min_pictures": 5, "min_objects": 1, "max_class_drop": 0.5, "max_significant_drop": 0.5})


def test_a_subset_scores_as_if_the_other_pictures_did_not_exist() -> None:
    chosen = np.array([2, 5, 6, 11, 20, 28])
    numbers = {GROUND_TRUTH["images"][index]["id"] for index in chosen}
    part = {
        **GROUND_TRUTH,
        "images": [image for image in GROUND_TRUTH["images"] if image["id"] in numbers],
        "annotations": [entry for entry in GROUND_TRUTH["annotations"] if entry["image_id"] in numbers],
    }
    expected = coco_scores(part, [row for row in DETECTIONS if row["image_id"] in numbers])
    [[scores, *_]] = mean_ap(subset(model(1), chosen), np.ones((1, len(chosen)), dtype=np.int64))
    assert scores == pytest.approx([expected.map, expected.map50], abs=1e-12)


def test_a_better_model_passes_and_an_equal_or_worse_one_does_not(gate: Gate) -> None:
    good, poor = model(1), model(0.3)
    assert passes_gate(good, poor, CLASSES, gate)
    assert not passes_gate(poor, good, CLASSES, gate) and not passes_gate(good, good, CLASSES, gate)
    assert not passes_gate(good, poor, CLASSES, gate.model_copy(update={"min_pictures": PICTURES + 1})), "every rule counts"


def test_the_share_of_promotions_has_an_upper_limit(gate: Gate) -> None:
    good, poor = model(1), model(0.3)
    assert promotion_rate(lambda _: (poor, good), CLASSES, gate, 20, 30) == (0, pytest.approx(0.0827, abs=1e-3))
    rate, upper = promotion_rate(lambda _: (good, poor), CLASSES, gate, 20, 30)
    assert rate == 1 and upper == pytest.approx(1)
