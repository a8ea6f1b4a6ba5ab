"""The population stability index, and which changes count as drift."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components.monitor.drift import FeatureDrift, measure_drift, psi
from components.register_model.reference import make_reference

CLASSES = ["cat", "dog", "owl"]


def pictures(count: int, seed: int, brightness: float = 1.0, without: str = "") -> list[dict[str, Any]]:
    """Random records; each class is in about half of the pictures."""
    generator, records = np.random.default_rng(seed), []
    for _ in range(count):
        names = [name for name in CLASSES for _ in range(generator.integers(0, 2)) if name != without]
        records.append(
            {
                "brightness": float(generator.beta(4, 4)) * brightness,
                "scores": generator.uniform(0.25, 1, len(names)).tolist(),
                "box_sizes": generator.beta(2, 5, len(names)).tolist(),
                "classes": names,
            }
        )
    return records


def changes(records: list[dict[str, Any]], test_pictures: int = 500) -> dict[str, FeatureDrift]:
    recorder: Any = SimpleNamespace(records=pictures(test_pictures, 0), classes=CLASSES, common={})
    return {change.feature: change for change in measure_drift(make_reference(recorder), records)}


def drifting(records: list[dict[str, Any]], test_pictures: int = 500) -> set[str]:
    return {feature for feature, change in changes(records, test_pictures).items() if change.exceeds(0.1)}


def test_the_index_is_that_of_the_formula() -> None:
    before, after = [10, 30, 60], [20, 0, 30]
    p = [(count + 0.5) / 101.5 for count in before]
    q = [(count + 0.5) / 51.5 for count in after]
    assert psi(before, after) == pytest.approx(sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True)))
    assert psi([5, 5], [5, 5]) == 0 < psi([5, 5], [0, 10]) < math.inf


def test_equal_distributions_rarely_drift_at_the_least_number_of_pictures() -> None:
    assert sum(bool(drifting(pictures(100, seed), 100)) for seed in range(1, 61)) <= 2


def test_darker_pictures_and_a_class_that_is_gone_drift() -> None:
    for seed in range(20):
        assert "brightness" in drifting(pictures(100, seed, brightness=0.5))
        assert {"pictures with owl", "shares of the classes"} <= drifting(pictures(100, seed, without="owl"))


def test_without_any_detection_the_change_is_large() -> None:
    silent = [{**record, "scores": [], "box_sizes": [], "classes": []} for record in pictures(100, 1)]
    found = changes(silent)
    assert found["detections per picture"].severity == "large" and found["pictures with cat"].actual == [0, 1]
    assert not found["score"].exceeds(0.1), "no score is no evidence about scores"


def test_a_small_index_of_many_pictures_is_no_drift() -> None:
    change = FeatureDrift("x", 0.09, 0.01, [], [])
    assert not change.exceeds(0.1) and change.severity == "none"
    assert change._replace(psi=0.12).severity == "moderate" and change._replace(psi=0.12, noise=0.2).severity == "none"
    assert not change._replace(psi=0.12).exceeds(0.25) and change._replace(psi=0.3).severity == "large"
