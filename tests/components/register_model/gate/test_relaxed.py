"""What counts as a relaxed limit of the gate."""

from pathlib import Path

import pytest

from components.params.load import load_params
from components.register_model.gate.relaxed import relaxed_limits

PARAMS = Path(__file__).parents[4] / "params.yaml"


def relaxed(setting: str) -> list[str]:
    return relaxed_limits(load_params(PARAMS).register_model, load_params(PARAMS, [f"register_model.{setting}"]).register_model)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("gate.min_map=0.01", "min_map 0.01 instead of 0.05"),
        ("gate.max_class_drop=0.5", "max_class_drop 0.5 instead of 0.1"),
        ("gate.confidence=0.6", "confidence 0.6 instead of 0.95"),
        ("gate.seed_std=0", "seed_std 0.0 instead of 0.005"),
        ("gate.resamples=100", "resamples 100 instead of 1000"),
        ("gate.unjudged=[cat]", "unjudged ['cat'] instead of []"),
        ("gate.allow_other_classes=true", "allow_other_classes True instead of False"),
        ("tolerance=0.5", "tolerance 0.5 instead of 0.001"),
    ],
)
def test_a_relaxed_limit_is_named(setting: str, line: str) -> None:
    assert relaxed(setting) == [line]


@pytest.mark.parametrize(
    "setting", ["gate.min_map=0.1", "gate.max_class_drop=0.01", "gate.seed_std=0.01", "gate.approval=manual", "name=other"]
)
def test_a_stricter_limit_and_other_parameters_are_not(setting: str) -> None:
    assert relaxed(setting) == []
