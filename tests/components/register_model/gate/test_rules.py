"""Each rule at its limit, with its reason, and compared with MLflow's validation if MLflow has the rule."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from mlflow import validate_evaluation_results
from mlflow.models import EvaluationResult, MetricThreshold
from mlflow.models.evaluation.validation import ModelValidationFailedException

from components.params.models import Gate
from components.register_model.gate.bootstrap import Interval
from components.register_model.gate.rules import Comparison, GateInputs, Measurements, RuleResult, check_rules, include_seed

GATE = Gate(
    min_map=0.2, min_map50=0.4, max_map_difference=0.02,
    min_gain=0.01, confidence=0.95, resamples=1000, comparisons=1, seed_std=0.0,
    group_pattern="", min_pictures=50, min_objects=10, unjudged=[],
    max_class_drop=0.1, max_significant_drop=0.02, max_size_ratio=1.5, max_latency_ratio=1.25, allow_other_classes=False, approval="auto",
)  # fmt: skip
MODEL = Measurements(("cat", "dog"), 0.3, 0.5, {"cat": 0.6, "dog": 0.4}, 2.0, True)
BETTER = MODEL._replace(map=0.35, map50=0.56, per_class={"cat": 0.62, "dog": 0.5})
RISES = {"map": Interval(0.05, 0.02, 0.08), "map50": Interval(0.06, 0.01, 0.1)}


def inputs(
    challenger: Measurements = BETTER,
    champion: Measurements | None = MODEL,
    latency: float = 1.0,
    pictures: int = 50,
    dogs: int = 10,
    dog_gain: Mapping[str, Interval] = RISES,
    **changes: object,
) -> GateInputs:
    gain = {**RISES, **{key: value for key, value in changes.items() if key in RISES}}
    other = {key: value for key, value in changes.items() if key not in RISES}
    objects, class_gain = {"cat": 10, "dog": dogs}, {"cat": RISES, "dog": dog_gain}
    comparison = Comparison(champion, gain, latency, pictures, objects, class_gain) if champion else None  # type: ignore[arg-type]
    return GateInputs(challenger, comparison, (0.3, 0.5), False, 0.0001, 0.001)._replace(**other)  # type: ignore[arg-type]


def failed(gate_inputs: GateInputs, gate: Gate = GATE) -> dict[str, str]:
    return {result.rule: result.reason for result in check_rules(gate_inputs, gate) if not result.passed}


def test_a_better_model_passes_every_rule() -> None:
    rule_results = check_rules(inputs(), GATE)
    assert [result.rule for result in rule_results] == [
        "finite", "export", "evaluation", "leakage", "floor_map", "floor_map50", "classes", "sample", "gain",
        "certainty", "class_drop", "size", "latency",
    ]  # fmt: skip
    assert all(result.passed and result.reason for result in rule_results)


def test_a_first_model_is_checked_without_a_comparison() -> None:
    assert [result.rule for result in check_rules(inputs(champion=None), GATE)] == [
        "finite",
        "export",
        "evaluation",
        "leakage",
        "floor_map",
        "floor_map50",
    ]
    assert failed(inputs(MODEL._replace(map=0.19, map50=0.39), champion=None)) == {
        "floor_map": "mAP is 19.0, less than 20.0",
        "floor_map50": "mAP50 is 39.0, less than 40.0",
    }
    assert failed(inputs(MODEL._replace(map=0.2, map50=0.4), champion=None)) == {}


def test_map_must_be_that_of_evaluate_on_the_same_pictures() -> None:
    assert failed(inputs(same_data=True)) == {"evaluation": "mAP differs by 5.0 points from that of `evaluate`, more than 2.0"}
    assert (
        failed(inputs(same_data=True, evaluate_scores=(0.33, 0.5)))
        == failed(inputs(same_data=False))
        == failed(inputs(same_data=True, evaluate_scores=()))
        == {}
    )


def test_too_few_pictures_or_objects_of_a_class_and_an_interval_without_width_fail() -> None:
    assert failed(inputs(pictures=49)) == {"sample": "49 test pictures are fewer than 50, so chance may decide"}
    assert failed(inputs(dogs=9)) == {"sample": "1 classes have fewer than 10 test objects and are not in `unjudged` ('dog' 9)"}
    assert failed(inputs(dogs=9), GATE.model_copy(update={"unjudged": ["dog"]})) == {}
    other = MODEL._replace(classes=("cat", "dog", "bird"))
    assert "('bird' 0)" in failed(inputs(champion=other))["sample"], "a class of the champion that is not in the test pictures"
    assert failed(inputs(pictures=1, champion=None)) == {}, "a first model is not compared"
    assert set(failed(inputs(map=Interval(0.05, 0.05, 0.05)))) == {"certainty"}, "as from a single picture"


def test_reasons_name_groups_and_the_number_of_comparisons() -> None:
    assert "49 groups of test pictures are" in failed(inputs(pictures=49), GATE.model_copy(update={"group_pattern": "(.)"}))["sample"]
    lucky = failed(inputs(map=Interval(0.05, -0.001, 0.1)), GATE.model_copy(update={"comparisons": 52}))
    assert lucky["certainty"].endswith("with 95% confidence over 52 comparisons it does not rise")


def test_an_equal_model_is_not_promoted_even_without_a_minimum_gain() -> None:
    no_gain = Interval(0.0, 0.0, 0.0)
    assert set(failed(inputs(MODEL, map=no_gain, map50=no_gain), GATE.model_copy(update={"min_gain": 0.0}))) == {"certainty"}


def test_a_gain_that_may_be_noise_fails() -> None:
    result = failed(inputs(map=Interval(0.05, -0.001, 0.1)))
    assert result == {"certainty": "on resampled test pictures mAP changes by -0.1 to +10.0 points: with 95% confidence it does not rise"}


def test_a_gain_that_another_seed_may_lose_fails() -> None:
    """0.05 - hypot(0.05 - 0.02, 1.645 * sqrt(2) * seed_std) is above zero up to a standard deviation of 0.0172."""
    assert failed(inputs(), GATE.model_copy(update={"seed_std": 0.0171})) == {}
    result = failed(inputs(), GATE.model_copy(update={"seed_std": 0.0173}))
    assert result == {
        "certainty": "on resampled test pictures mAP changes by +2.0 to +8.0 points, and by -0.0 or more with other seeds: "
        "with 95% confidence it does not rise"
    }
    assert set(failed(inputs(), GATE.model_copy(update={"seed_std": 0.0171, "comparisons": 52}))) == {"certainty"}


def test_trainings_of_equal_quality_are_promoted_as_rarely_as_the_confidence_says() -> None:
    """Chance of pictures and seeds together, drawn from normal distributions with the standard deviations given."""
    gate, generator = GATE.model_copy(update={"min_gain": 0.0, "seed_std": 0.01}), np.random.default_rng(0)
    pictures_std = 0.015
    gains = generator.normal(0, pictures_std, 20_000) + generator.normal(0, 0.01, 20_000) - generator.normal(0, 0.01, 20_000)
    intervals = [Interval(gain, gain - 1.645 * pictures_std, gain + 1.645 * pictures_std) for gain in gains]
    assert np.mean([include_seed(interval, gate) > 0 for interval in intervals]) == pytest.approx(0.05, abs=0.005)


def test_a_gain_below_the_minimum_fails() -> None:
    assert failed(inputs(map=Interval(0.009, 0.001, 0.02))) == {"gain": "mAP changes by +0.9 points, less than +1.0"}
    assert failed(inputs(map=Interval(0.01, 0.001, 0.02))) == {}


@pytest.mark.parametrize("metric", ["map", "map50"])
def test_the_drop_of_one_class_fails_although_map_rises(metric: str) -> None:
    collapsed = {**RISES, metric: Interval(-0.15, -0.2, -0.01)}
    name = {"map": "AP", "map50": "AP50"}[metric]
    assert failed(inputs(dog_gain=collapsed)) == {
        "class_drop": f"class 'dog' drops by 15.0 points of {name} (1.0 or more with that confidence), "
        "more than 10.0 points, or 2.0 with 95% confidence"
    }
    assert failed(inputs(dog_gain={**RISES, metric: Interval(-0.1, -0.2, -0.02)})) == {}
    assert failed(inputs(dog_gain=collapsed), GATE.model_copy(update={"unjudged": ["dog"]})) == {}


def test_a_smaller_drop_of_a_class_that_is_significant_fails() -> None:
    significant = {**RISES, "map": Interval(-0.05, -0.08, -0.021)}
    assert set(failed(inputs(dog_gain=significant))) == {"class_drop"}
    assert failed(inputs(dog_gain=significant), GATE.model_copy(update={"max_significant_drop": 0.03})) == {}


@pytest.mark.parametrize(
    "change",
    [{"finite": False}, {"map": math.nan}, {"map50": math.inf}, {"per_class": {"cat": math.nan, "dog": 0.5}}],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("champion", [MODEL, None], ids=["against a champion", "first"])
def test_numbers_that_are_not_finite_fail(change: dict[str, object], champion: Measurements | None) -> None:
    assert failed(inputs(BETTER._replace(**change), champion))["finite"] == "a weight or a score is NaN or infinite"  # type: ignore[arg-type]


def test_a_score_of_evaluate_that_is_not_finite_fails() -> None:
    assert set(failed(inputs(evaluate_scores=(math.nan, 0.5)))) == {"finite"}


@pytest.mark.parametrize("difference", [0.0011, math.nan, None])
def test_an_export_that_differs_from_the_network_fails(difference: float | None) -> None:
    assert set(failed(inputs(export_difference=difference))) == {"export"}


def test_other_classes_must_be_allowed() -> None:
    other = BETTER._replace(classes=("cat", "bird"))
    assert failed(inputs(other)) == {"classes": "the classes differ from the champion's (+bird, -dog)"}
    assert failed(inputs(BETTER._replace(classes=("dog", "cat")))) == {"classes": "the classes differ from the champion's (another order)"}
    assert failed(inputs(other), GATE.model_copy(update={"allow_other_classes": True})) == {}


def test_size_and_latency_are_ratios_to_the_champion() -> None:
    assert failed(inputs(BETTER._replace(megabytes=3.0), latency=1.25)) == {}
    assert failed(inputs(BETTER._replace(megabytes=3.1), latency=1.26)) == {
        "size": "the file is 1.55 times as large as the champion's, more than 1.5",
        "latency": "a picture takes more than 1.25 times as long as with the champion",
    }


def test_no_reason_contains_a_time() -> None:
    """A decision is the same text on every machine."""
    assert check_rules(inputs(latency=1.01), GATE) == check_rules(inputs(latency=1.24), GATE)


@pytest.mark.parametrize("value", [0.0, 0.2, 0.200001, 0.35, 1.0])
@pytest.mark.parametrize("champion", [0.1, 0.19, 0.2, 0.3, 0.33])
def test_floor_and_gain_decide_as_mlflow_does(value: float, champion: float) -> None:
    threshold = {"map": MetricThreshold(threshold=0.2, min_absolute_change=0.01, greater_is_better=True)}
    results = [EvaluationResult(metrics={"map": score}, artifacts={}) for score in (value, champion)]
    try:
        validate_evaluation_results(threshold, *results)
        theirs = True
    except ModelValidationFailedException:
        theirs = False
    gain = Interval(round(value - champion, 6), 0.001, 1.0)
    rules = failed(inputs(BETTER._replace(map=value), MODEL._replace(map=champion), map=gain))
    assert theirs == (not {"floor_map", "gain"} & set(rules))


def test_the_committed_parameters_are_valid_for_all_rules() -> None:
    from components.params.load import load_params

    gate = load_params(Path(__file__).parents[4] / "params.yaml").register_model.gate
    assert all(isinstance(result, RuleResult) for result in check_rules(inputs(), gate))
