"""The rules of the gate: each turns measurements into a result with a reason.

Reasons contain no times, so that a decision is the same text on every machine.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from components.params.models import Gate
from components.register_model.gate.bootstrap import Interval

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
    """

    champion: Measurements
    gain: Mapping[str, Interval]
    latency_ratio: float


class GateInputs(NamedTuple):
    """The inputs of the rules.

    Attributes:
        challenger: the measurements of the challenger.
        comparison: with the champion; None for a first model.
        evaluated: the challenger's mAP and mAP50 in the step `evaluate`; empty if they are not recorded.
        same_data: whether `evaluate` had the same test pictures.
        export_difference: largest difference between its ONNX file and the network in PyTorch; None if they were not compared.
        tolerance: largest `export_difference` allowed.
    """

    challenger: Measurements
    comparison: Comparison | None
    evaluated: tuple[float, ...]
    same_data: bool
    export_difference: float | None
    tolerance: float


class RuleResult(NamedTuple):
    """Whether a model passed a rule, and why."""

    rule: str
    passed: bool
    reason: str


def check_rules(inputs: GateInputs, gate: Gate) -> list[RuleResult]:
    """The results of all rules that apply. The challenger passes the gate if it passes all of them."""
    results = [rule(inputs, gate) for rule in RULES]
    if inputs.comparison:
        results += [rule(inputs.challenger, inputs.comparison, gate) for rule in COMPARISON_RULES]
    return results


def finite(inputs: GateInputs, _: Gate) -> RuleResult:
    """All weights and scores are finite."""
    ours = inputs.challenger
    passed = ours.finite and all(math.isfinite(value) for value in (ours.map, ours.map50, *ours.per_class.values(), *inputs.evaluated))
    return RuleResult("finite", passed, "all numbers are finite" if passed else "a weight or a score is NaN or infinite")


def export(inputs: GateInputs, _: Gate) -> RuleResult:
    """The ONNX file has the same detections as the network in PyTorch."""
    if inputs.export_difference is None:
        return RuleResult("export", False, "the ONNX file was not compared with PyTorch")
    passed = inputs.export_difference <= inputs.tolerance  # False for NaN as well
    return RuleResult("export", passed, f"ONNX and PyTorch differ by {inputs.export_difference:g}, {_at_most(passed)} {inputs.tolerance:g}")


def evaluation(inputs: GateInputs, gate: Gate) -> RuleResult:
    """The mAP is the one that the step `evaluate` recorded, so that scores and files belong together."""
    if not inputs.same_data or not inputs.evaluated:
        return RuleResult("evaluation", True, "`evaluate` recorded no mAP on these test pictures")
    difference = round(abs(inputs.challenger.map - inputs.evaluated[0]), DIGITS)
    passed = difference <= gate.max_map_difference
    limit = f"{_at_most(passed)} {points(gate.max_map_difference)}"
    return RuleResult("evaluation", passed, f"mAP differs by {points(difference)} points from that of `evaluate`, {limit}")


def floor_map(inputs: GateInputs, gate: Gate) -> RuleResult:
    """mAP is at least `min_map`."""
    return _floor("mAP", inputs.challenger.map, gate.min_map)


def floor_map50(inputs: GateInputs, gate: Gate) -> RuleResult:
    """mAP50 is at least `min_map50`."""
    return _floor("mAP50", inputs.challenger.map50, gate.min_map50)


def classes(ours: Measurements, comparison: Comparison, gate: Gate) -> RuleResult:
    """Both models have the same classes in the same order, because their users may depend on the label numbers."""
    theirs = comparison.champion.classes
    if ours.classes == theirs:
        return RuleResult("classes", True, "the classes are the same as the champion's")
    added, removed = sorted(set(ours.classes) - set(theirs)), sorted(set(theirs) - set(ours.classes))
    changes = [*(f"+{name}" for name in added), *(f"-{name}" for name in removed)] or ["another order"]
    reason = f"the classes differ from the champion's ({', '.join(changes)})"
    return RuleResult("classes", gate.allow_other_classes, reason + (", which is allowed" if gate.allow_other_classes else ""))


def gain(_: Measurements, comparison: Comparison, gate: Gate) -> RuleResult:
    """The gain in mAP is at least `min_gain`."""
    difference = round(comparison.gain["map"].difference, DIGITS)
    passed = difference >= gate.min_gain
    return RuleResult("gain", passed, f"mAP changes by {_signed(difference)} points, {_at_least(passed)} {_signed(gate.min_gain)}")


def certainty(_: Measurements, comparison: Comparison, gate: Gate) -> RuleResult:
    """The gain in mAP is statistically significant, so that noise in the test pictures does not promote a model."""
    interval = comparison.gain["map"]
    passed = interval.low > 0
    between = f"on resampled test pictures mAP changes by {_signed(interval.low)} to {_signed(interval.high)} points"
    return RuleResult("certainty", passed, f"{between}: with {gate.confidence:.0%} confidence it {'rises' if passed else 'does not rise'}")


def class_drop(ours: Measurements, comparison: Comparison, gate: Gate) -> RuleResult:
    """The AP50 of no class drops by more than `max_class_drop`."""
    theirs = comparison.champion.per_class
    drops = {name: round(before - ours.per_class.get(name, 0.0), DIGITS) for name, before in theirs.items()}
    worst = max(drops, key=lambda name: drops[name], default=None)
    if worst is None or drops[worst] <= 0:
        return RuleResult("class_drop", True, "the AP50 of no class drops")
    change = f"from {points(theirs[worst])} to {points(ours.per_class.get(worst, 0.0))} AP50"
    passed = drops[worst] <= gate.max_class_drop
    reason = f"class '{worst}' drops {change}, {_at_most(passed)} {points(gate.max_class_drop)} points"
    return RuleResult("class_drop", passed, reason)


def size(ours: Measurements, comparison: Comparison, gate: Gate) -> RuleResult:
    """The file is at most `max_size_ratio` times as large as the champion's."""
    ratio = ours.megabytes / comparison.champion.megabytes
    passed = ratio <= gate.max_size_ratio
    return RuleResult(
        "size", passed, f"the file is {ratio:.2f} times as large as the champion's, {_at_most(passed)} {gate.max_size_ratio:g}"
    )


def latency(_: Measurements, comparison: Comparison, gate: Gate) -> RuleResult:
    """A picture takes at most `max_latency_ratio` times as long as with the champion."""
    passed = comparison.latency_ratio <= gate.max_latency_ratio
    return RuleResult(
        "latency", passed, f"a picture takes {_at_most(passed)} {gate.max_latency_ratio:g} times as long as with the champion"
    )


RULES: tuple[Callable[[GateInputs, Gate], RuleResult], ...] = (finite, export, evaluation, floor_map, floor_map50)
ComparisonRule = Callable[[Measurements, Comparison, Gate], RuleResult]
COMPARISON_RULES: tuple[ComparisonRule, ...] = (classes, gain, certainty, class_drop, size, latency)


def points(score: float) -> str:
    """A score of 0..1 in points of 0..100."""
    return f"{100 * score:.1f}"


def _floor(metric: str, value: float, minimum: float) -> RuleResult:
    passed = value >= minimum  # False for NaN
    return RuleResult(f"floor_{metric.lower()}", passed, f"{metric} is {points(value)}, {_at_least(passed)} {points(minimum)}")


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _at_least(passed: bool) -> str:
    return "at least" if passed else "less than"


def _at_most(passed: bool) -> str:
    return "at most" if passed else "more than"
