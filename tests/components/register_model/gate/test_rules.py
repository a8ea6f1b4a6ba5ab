"""Each rule at its limit, with its reason; MLflow's own validator is the reference where it has the rule."""

import math
from pathlib import Path

import pytest
from mlflow import validate_evaluation_results
from mlflow.models import EvaluationResult, MetricThreshold
from mlflow.models.evaluation.validation import ModelValidationFailedException

from components.params.models import Gate
from components.register_model.gate.bootstrap import Interval
from components.register_model.gate.rules import Comparison, GateInputs, Measurements, RuleResult, judge

GATE = Gate(
    min_map=0.2, min_map50=0.4, min_gain=0.01, confidence=0.95, resamples=1000, max_class_drop=0.1, max_size_ratio=1.5,
    max_latency_ratio=1.25, allow_other_classes=False,
)  # fmt: skip
MODEL = Measurements(("cat", "dog"), 0.3, 0.5, {"cat": 0.6, "dog": 0.4}, 2.0, True)
BETTER = MODEL._replace(map=0.35, map50=0.56, per_class={"cat": 0.62, "dog": 0.5})
RISES = {"map": Interval(0.05, 0.02, 0.08), "map50": Interval(0.06, 0.01, 0.1)}


def facts(challenger: Measurements = BETTER, champion: Measurements | None = MODEL, latency: float = 1.0, **changes: object) -> GateInputs:
    gain = {**RISES, **{key: value for key, value in changes.items() if key in RISES}}
    other = {key: value for key, value in changes.items() if key not in RISES}
    comparison = Comparison(champion, gain, latency) if champion else None  # type: ignore[arg-type]
    return GateInputs(challenger, comparison, (0.3, 0.5), 0.0001, 0.001)._replace(**other)  # type: ignore[arg-type]


def broken(facts: GateInputs, gate: Gate = GATE) -> dict[str, str]:
    return {rule_result.rule: rule_result.reason for rule_result in judge(facts, gate) if not rule_result.passed}


def test_a_better_model_keeps_every_rule() -> None:
    rule_results = judge(facts(), GATE)
    assert [v.rule for v in rule_results] == [
        "finite", "export", "floor_map", "floor_map50", "classes", "gain", "certainty", "class_drop", "size", "latency",
    ]  # fmt: skip
    assert all(v.passed and v.reason for v in rule_results)


def test_a_first_model_has_floors_alone() -> None:
    assert [v.rule for v in judge(facts(champion=None), GATE)] == ["finite", "export", "floor_map", "floor_map50"]
    assert broken(facts(MODEL._replace(map=0.19, map50=0.39), champion=None)) == {
        "floor_map": "mAP is 19.0, less than 20.0",
        "floor_map50": "mAP50 is 39.0, less than 40.0",
    }
    assert broken(facts(MODEL._replace(map=0.2, map50=0.4), champion=None)) == {}


def test_an_equal_model_is_not_promoted_even_without_a_least_gain() -> None:
    still = Interval(0.0, 0.0, 0.0)
    assert set(broken(facts(MODEL, map=still, map50=still), GATE.model_copy(update={"min_gain": 0.0}))) == {"certainty"}


def test_noise_does_not_promote() -> None:
    found = broken(facts(map=Interval(0.05, -0.001, 0.1)))
    assert found == {"certainty": "on resampled test pictures mAP changes by -0.1 to +10.0 points: with 95% confidence it does not rise"}


def test_a_gain_below_the_least_is_too_small() -> None:
    assert broken(facts(map=Interval(0.009, 0.001, 0.02))) == {"gain": "mAP changes by +0.9 points, less than +1.0"}
    assert broken(facts(map=Interval(0.01, 0.001, 0.02))) == {}


def test_a_class_that_collapses_is_caught_while_map_rises() -> None:
    collapsed = BETTER._replace(per_class={"cat": 0.9, "dog": 0.25})
    assert broken(facts(collapsed)) == {"class_drop": "class 'dog' falls from 40.0 to 25.0 AP50, more than 10.0 points"}
    assert broken(facts(BETTER._replace(per_class={"cat": 0.9, "dog": 0.3}))) == {}
    assert set(broken(facts(BETTER._replace(per_class={"cat": 0.9})))) == {"class_drop"}, "a class that is gone has fallen to 0"


@pytest.mark.parametrize(
    "change",
    [{"finite": False}, {"map": math.nan}, {"map50": math.inf}, {"per_class": {"cat": math.nan, "dog": 0.5}}],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("champion", [MODEL, None], ids=["against a champion", "first"])
def test_what_is_not_finite_is_caught(change: dict[str, object], champion: Measurements | None) -> None:
    assert broken(facts(BETTER._replace(**change), champion))["finite"] == "a weight or a score is NaN or infinite"  # type: ignore[arg-type]


def test_a_score_that_evaluate_found_not_finite_is_caught() -> None:
    assert set(broken(facts(evaluated=(math.nan, 0.5)))) == {"finite"}


@pytest.mark.parametrize("difference", [0.0011, math.nan, None])
def test_an_export_that_is_another_model_is_caught(difference: float | None) -> None:
    assert set(broken(facts(export_difference=difference))) == {"export"}


def test_other_classes_need_an_override() -> None:
    other = BETTER._replace(classes=("cat", "bird"))
    assert broken(facts(other)) == {"classes": "the classes are not the champion's (+bird, -dog)"}
    assert broken(facts(BETTER._replace(classes=("dog", "cat")))) == {"classes": "the classes are not the champion's (another order)"}
    assert broken(facts(other), GATE.model_copy(update={"allow_other_classes": True})) == {}


def test_size_and_latency_are_ratios_to_the_champion() -> None:
    assert broken(facts(BETTER._replace(megabytes=3.0), latency=1.25)) == {}
    assert broken(facts(BETTER._replace(megabytes=3.1), latency=1.26)) == {
        "size": "the file has 1.55 times the champion's size, more than 1.5",
        "latency": "a picture takes more than 1.25 times the champion's time",
    }


def test_no_reason_tells_a_time() -> None:
    """So a decision is the same text on every machine."""
    assert judge(facts(latency=1.01), GATE) == judge(facts(latency=1.24), GATE)


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
    found = broken(facts(BETTER._replace(map=value), MODEL._replace(map=champion), map=gain))
    assert theirs == (not {"floor_map", "gain"} & set(found))


def test_the_committed_rules_are_read() -> None:
    from components.params.load import load_params

    gate = load_params(Path(__file__).parents[3] / "params.yaml").register_model.gate
    assert all(isinstance(rule_result, RuleResult) for rule_result in judge(facts(), gate))
