"""The rules of the gate. A rule returns whether the challenger passes, and the reason.

Reasons contain no times, so that a decision is the same text on every machine.
"""

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from types import MappingProxyType
from typing import NamedTuple

from components.evaluate.points import format_points, format_signed_points
from components.params.models import Gate
from components.register_model.gate.bootstrap import Interval
from components.shared.training_pictures import describe_pictures

MAX_LISTED = 5
AP_NAMES = {"map": "AP", "map50": "AP50"}
"""The names of the metrics for a single class."""
DIGITS = 6
"""Differences are rounded, so that 0.4 - 0.3 is not greater than 0.1."""


class Measurements(NamedTuple):
    """The measurements of one registered model on the test pictures.

    Attributes:
        classes: class names in the order of its labels.
        map: mean average precision over IoU 0.50:0.05:0.95, in 0..1.
        map50: the same at IoU 0.50.
        per_class: AP at IoU 0.50 by class name, of the classes that occur in the test pictures.
        megabytes: size of its ONNX file.
        finite: whether every weight, box and score is finite.
    """

    classes: tuple[str, ...]
    map: float
    map50: float
    per_class: dict[str, float]
    megabytes: float
    finite: bool


class Comparison(NamedTuple):
    """The challenger compared with the champion.

    Attributes:
        champion: the measurements of the champion.
        gain: challenger - champion by metric, "map" and "map50", with the confidence interval of the bootstrap.
        latency_ratio: the challenger's time per picture divided by the champion's.
        pictures: number of test pictures, or of their groups, if there are groups.
        objects: number of objects in them by class.
        class_gain: as `gain`, by class: "map" is the AP over all IoU thresholds, "map50" that at 0.50.
    """

    champion: Measurements
    gain: Mapping[str, Interval]
    latency_ratio: float
    pictures: int
    objects: Mapping[str, int]
    class_gain: Mapping[str, Mapping[str, Interval]]


class GateInputs(NamedTuple):
    """The inputs of the rules.

    Attributes:
        challenger: the measurements of the challenger.
        comparison: with the champion; None for a first model.
        evaluate_scores: the challenger's mAP and mAP50 in the step `evaluate`; empty if they are not recorded.
        same_data: whether `evaluate` had the same test pictures.
        export_difference: largest difference between its ONNX file and the network in PyTorch; None if no detections were compared.
        tolerance: largest `export_difference` allowed.
        leaked: file names of the test pictures that a model was trained on, by "challenger" and "champion".
    """

    challenger: Measurements
    comparison: Comparison | None
    evaluate_scores: tuple[float, ...]
    same_data: bool
    export_difference: float | None
    tolerance: float
    leaked: Mapping[str, list[str]] = MappingProxyType({})


Outcome = tuple[bool, str]
"""Whether a model passed a rule, and the reason."""


class RuleResult(NamedTuple):
    """The outcome of a rule, with its name."""

    rule: str
    passed: bool
    reason: str


def check_rules(inputs: GateInputs, gate: Gate) -> list[RuleResult]:
    """The results of all rules that apply. The challenger passes the gate if it passes all of them."""
    outcomes = {name: rule(inputs, gate) for name, rule in RULES.items()}
    if inputs.comparison:
        outcomes |= {name: rule(inputs.challenger, inputs.comparison, gate) for name, rule in COMPARISON_RULES.items()}
    return [RuleResult(name, *outcome) for name, outcome in outcomes.items()]


def check_finite(inputs: GateInputs, _: Gate) -> Outcome:
    """All weights and scores are finite."""
    ours = inputs.challenger
    scores = (ours.map, ours.map50, *ours.per_class.values(), *inputs.evaluate_scores)
    passed = ours.finite and all(math.isfinite(score) for score in scores)
    return passed, "all numbers are finite" if passed else "a weight or a score is NaN or infinite"


def check_export(inputs: GateInputs, _: Gate) -> Outcome:
    """The ONNX file has the same detections as the network in PyTorch."""
    if inputs.export_difference is None:
        return False, "no detections of the ONNX file were compared with PyTorch"
    passed = inputs.export_difference <= inputs.tolerance  # False for NaN as well
    return passed, f"ONNX and PyTorch differ by {inputs.export_difference:g}, {_at_most(passed)} {inputs.tolerance:g}"


def check_evaluation(inputs: GateInputs, gate: Gate) -> Outcome:
    """The mAP is the one that the step `evaluate` recorded, so that scores and files belong together."""
    if not inputs.same_data or not inputs.evaluate_scores:
        return True, "`evaluate` recorded no mAP on these test pictures"
    difference = round(abs(inputs.challenger.map - inputs.evaluate_scores[0]), DIGITS)
    passed = difference <= gate.max_map_difference
    limit = f"{_at_most(passed)} {format_points(gate.max_map_difference)}"
    return passed, f"mAP differs by {format_points(difference)} points from that of `evaluate`, {limit}"


def check_leakage(inputs: GateInputs, _: Gate) -> Outcome:
    """No model was trained on pictures of the test split, on which it would look better than it is."""
    leaked = [f"the {role} was trained on {describe_pictures(names)}" for role, names in inputs.leaked.items() if names]
    return not leaked, " and ".join(leaked) or "no test picture is known to have been trained on"


def check_classes(ours: Measurements, comparison: Comparison, gate: Gate) -> Outcome:
    """Both models have the same classes in the same order, because their users may depend on the label numbers."""
    theirs = comparison.champion.classes
    if ours.classes == theirs:
        return True, "the classes are the same as the champion's"
    added, removed = sorted(set(ours.classes) - set(theirs)), sorted(set(theirs) - set(ours.classes))
    changes = [*(f"+{name}" for name in added), *(f"-{name}" for name in removed)] or ["another order"]
    reason = f"the classes differ from the champion's ({', '.join(changes)})"
    return gate.allow_other_classes, reason + (", which is allowed" if gate.allow_other_classes else "")


def check_sample(_: Measurements, comparison: Comparison, gate: Gate) -> Outcome:
    """There are enough test pictures, and objects of each class of the champion, to compare two models."""
    if comparison.pictures < gate.min_pictures:
        what = "groups of test pictures" if gate.group_pattern else "test pictures"
        return False, f"{comparison.pictures} {what} are fewer than {gate.min_pictures}, so chance may decide"
    counts = {name: comparison.objects.get(name, 0) for name in comparison.champion.classes if name not in gate.unjudged}
    if rare := {name: count for name, count in counts.items() if count < gate.min_objects}:
        listed = ", ".join(f"'{name}' {count}" for name, count in list(rare.items())[:MAX_LISTED])
        return False, f"{len(rare)} classes have fewer than {gate.min_objects} test objects and are not in `unjudged` ({listed})"
    return True, f"at least {gate.min_pictures} test pictures, and {gate.min_objects} objects of each class"


def check_gain(_: Measurements, comparison: Comparison, gate: Gate) -> Outcome:
    """The gain in mAP is at least `min_gain`."""
    difference = round(comparison.gain["map"].difference, DIGITS)
    passed = difference >= gate.min_gain
    return passed, f"mAP changes by {format_signed_points(difference)} points, {_at_least(passed)} {format_signed_points(gate.min_gain)}"


def check_certainty(_: Measurements, comparison: Comparison, gate: Gate) -> Outcome:
    """The gain in mAP is statistically significant, so that neither the choice of test pictures nor the seed promotes a model."""
    interval = comparison.gain["map"]
    if interval.low == interval.high:
        return False, "every resample of the test pictures gives the same change of mAP, so nothing can be concluded"
    low = include_seed(interval, gate)
    passed, over = low > 0, f" over {gate.comparisons} comparisons" if gate.comparisons > 1 else ""
    on_pictures = f"mAP changes by {format_signed_points(interval.low)} to {format_signed_points(interval.high)} points"
    with_seeds = f", and by {format_signed_points(low)} or more with other seeds" if gate.seed_std else ""
    rises = f"with {gate.confidence:.0%} confidence{over} it {'rises' if passed else 'does not rise'}"
    return passed, f"on resampled test pictures {on_pictures}{with_seeds}: {rises}"


def include_seed(interval: Interval, gate: Gate) -> float:
    """The lower end of the confidence interval for a gain in mAP over test pictures and training seeds.

    The test pictures and the seeds of the two trainings are independent, so their deviations add up in squares. A normal
    distribution with the standard deviation `seed_std` is assumed for the mAP of a training.
    """
    quantile = NormalDist().inv_cdf(1 - (1 - gate.confidence) / gate.comparisons)
    return interval.difference - math.hypot(interval.difference - interval.low, quantile * math.sqrt(2) * gate.seed_std)


def check_class_drop(_: Measurements, comparison: Comparison, gate: Gate) -> Outcome:
    """No compared class drops in AP or AP50 by more than `max_class_drop`, or significantly by more than `max_significant_drop`."""
    compared = {name: gains for name, gains in comparison.class_gain.items() if name not in gate.unjudged}
    excess = {
        (name, metric): round(max(-gain.difference - gate.max_class_drop, -gain.high - gate.max_significant_drop), DIGITS)
        for name, gains in compared.items()
        for metric, gain in gains.items()
    }
    limits = (
        f"{format_points(gate.max_class_drop)} points, or {format_points(gate.max_significant_drop)} with {gate.confidence:.0%} confidence"
    )
    worst = max(excess, key=lambda key: excess[key], default=None)
    if worst is None or excess[worst] <= 0:
        return True, f"no class drops by more than {limits}"
    name, metric = worst
    gain = compared[name][metric]
    drop, least = format_points(-gain.difference), format_points(-gain.high)
    return False, f"class '{name}' drops by {drop} points of {AP_NAMES[metric]} ({least} or more with that confidence), more than {limits}"


def check_size(ours: Measurements, comparison: Comparison, gate: Gate) -> Outcome:
    """The file is at most `max_size_ratio` times as large as the champion's."""
    ratio = ours.megabytes / comparison.champion.megabytes
    passed = ratio <= gate.max_size_ratio
    return passed, f"the file is {ratio:.2f} times as large as the champion's, {_at_most(passed)} {gate.max_size_ratio:g}"


def check_latency(_: Measurements, comparison: Comparison, gate: Gate) -> Outcome:
    """A picture takes at most `max_latency_ratio` times as long as with the champion."""
    passed = comparison.latency_ratio <= gate.max_latency_ratio
    return passed, f"a picture takes {_at_most(passed)} {gate.max_latency_ratio:g} times as long as with the champion"


RULES: dict[str, Callable[[GateInputs, Gate], Outcome]] = {
    "finite": check_finite,
    "export": check_export,
    "evaluation": check_evaluation,
    "leakage": check_leakage,
    "floor_map": lambda inputs, gate: _check_floor("mAP", inputs.challenger.map, gate.min_map),
    "floor_map50": lambda inputs, gate: _check_floor("mAP50", inputs.challenger.map50, gate.min_map50),
}
COMPARISON_RULES: dict[str, Callable[[Measurements, Comparison, Gate], Outcome]] = {
    "classes": check_classes,
    "sample": check_sample,
    "gain": check_gain,
    "certainty": check_certainty,
    "class_drop": check_class_drop,
    "size": check_size,
    "latency": check_latency,
}


def _check_floor(metric: str, value: float, minimum: float) -> Outcome:
    """A score is at least its minimum."""
    passed = value >= minimum  # False for NaN
    return passed, f"{metric} is {format_points(value)}, {_at_least(passed)} {format_points(minimum)}"


def _at_least(passed: bool) -> str:
    return "at least" if passed else "less than"


def _at_most(passed: bool) -> str:
    return "at most" if passed else "more than"
