"""The rules of the gate: what was measured in, a verdict with its reason in words out.

Reasons hold content only, no times, so that a decision is the same text on every machine.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from components.params.models import Gate
from components.register_model.gate.bootstrap import Interval

DIGITS = 6
"""Differences are rounded, so that 0.4 - 0.3 is not more than 0.1."""


class Measurements(NamedTuple):
    """One model, loaded from the registry, on the test pictures.

    Attributes:
        classes: class names in the order of its labels.
        map: mean average precision over IoU 0.50:0.05:0.95, in 0..1.
        map50: the same at IoU 0.50.
        per_class: AP at IoU 0.50 by class name, of the classes that occur in the test pictures.
        megabytes: size of its ONNX file.
        finite: whether every weight, box and score is a finite number.
    """

    classes: tuple[str, ...]
    map: float
    map50: float
    per_class: dict[str, float]
    megabytes: float
    finite: bool


class Comparison(NamedTuple):
    """The challenger against the champion.

    Attributes:
        champion: the champion's measures.
        gain: challenger - champion by metric, "map" and "map50", with the bootstrap's interval.
        latency_ratio: the challenger's time for a picture over the champion's, taken in turns.
    """

    champion: Measurements
    gain: Mapping[str, Interval]
    latency_ratio: float


class GateInputs(NamedTuple):
    """All that the rules look at.

    Attributes:
        challenger: its measures.
        comparison: with the champion; None for a first model.
        evaluated: what the step `evaluate` scored the challenger.
        export_difference: largest difference between its file and the network in PyTorch; None where nobody compared.
        tolerance: what of that is allowed.
    """

    challenger: Measurements
    comparison: Comparison | None
    evaluated: tuple[float, ...]
    export_difference: float | None
    tolerance: float


class RuleResult(NamedTuple):
    """What a rule says."""

    rule: str
    passed: bool
    reason: str


def judge(facts: GateInputs, gate: Gate) -> list[RuleResult]:
    """The verdicts of all rules that apply; the challenger passes if all of them do."""
    rule_results = [rule(facts, gate) for rule in FOR_ALL]
    if facts.comparison:
        rule_results += [rule(facts.challenger, facts.comparison, gate) for rule in AGAINST_A_CHAMPION]
    return rule_results


def finite(facts: GateInputs, _: Gate) -> RuleResult:
    """No weight and no score is NaN or infinite."""
    ours = facts.challenger
    passed = ours.finite and all(math.isfinite(value) for value in (ours.map, ours.map50, *ours.per_class.values(), *facts.evaluated))
    return RuleResult("finite", passed, "all numbers are finite" if passed else "a weight or a score is NaN or infinite")


def export(facts: GateInputs, _: Gate) -> RuleResult:
    """The ONNX file finds what the network in PyTorch finds."""
    if facts.export_difference is None:
        return RuleResult("export", False, "nobody compared the file with PyTorch")
    passed = facts.export_difference <= facts.tolerance  # False for NaN as well
    return RuleResult("export", passed, f"ONNX and PyTorch differ by {facts.export_difference:g}, {_at_most(passed)} {facts.tolerance:g}")


def floor_map(facts: GateInputs, gate: Gate) -> RuleResult:
    """What mAP must reach at least."""
    return _floor("mAP", facts.challenger.map, gate.min_map)


def floor_map50(facts: GateInputs, gate: Gate) -> RuleResult:
    """What mAP50 must reach at least."""
    return _floor("mAP50", facts.challenger.map50, gate.min_map50)


def classes(ours: Measurements, against: Comparison, gate: Gate) -> RuleResult:
    """Both models know the same classes in the same order: a consumer may have learnt the labels by heart."""
    theirs = against.champion.classes
    if ours.classes == theirs:
        return RuleResult("classes", True, "the classes are the champion's")
    changes = [f"{sign}{name}" for sign, names in _changes(ours.classes, theirs) for name in names] or ["another order"]
    reason = f"the classes are not the champion's ({', '.join(changes)})"
    return RuleResult("classes", gate.allow_other_classes, reason + (", which is allowed" if gate.allow_other_classes else ""))


def gain(_: Measurements, against: Comparison, gate: Gate) -> RuleResult:
    """The gain in mAP reaches its least."""
    difference = round(against.gain["map"].difference, DIGITS)
    passed = difference >= gate.min_gain
    return RuleResult("gain", passed, f"mAP changes by {_signed(difference)} points, {_at_least(passed)} {_signed(gate.min_gain)}")


def certainty(_: Measurements, against: Comparison, gate: Gate) -> RuleResult:
    """The rise in mAP is more than the choice of test pictures explains: noise does not promote."""
    interval = against.gain["map"]
    passed = interval.low > 0
    between = f"on resampled test pictures mAP changes by {_signed(interval.low)} to {_signed(interval.high)} points"
    return RuleResult("certainty", passed, f"{between}: with {gate.confidence:.0%} confidence it {'rises' if passed else 'does not rise'}")


def class_drop(ours: Measurements, against: Comparison, gate: Gate) -> RuleResult:
    """No class loses much, whatever the mean does."""
    drops = {name: round(before - ours.per_class.get(name, 0.0), DIGITS) for name, before in against.champion.per_class.items()}
    worst = max(drops, key=lambda name: drops[name], default=None)
    if worst is None or drops[worst] <= 0:
        return RuleResult("class_drop", True, "no class loses AP50")
    fall = f"from {points(against.champion.per_class[worst])} to {points(ours.per_class.get(worst, 0.0))} AP50"
    passed = drops[worst] <= gate.max_class_drop
    reason = f"class '{worst}' falls {fall}, {_at_most(passed)} {points(gate.max_class_drop)} points"
    return RuleResult("class_drop", passed, reason)


def size(ours: Measurements, against: Comparison, gate: Gate) -> RuleResult:
    """The file does not grow much."""
    ratio = ours.megabytes / against.champion.megabytes
    passed = ratio <= gate.max_size_ratio
    return RuleResult("size", passed, f"the file has {ratio:.2f} times the champion's size, {_at_most(passed)} {gate.max_size_ratio:g}")


def latency(_: Measurements, against: Comparison, gate: Gate) -> RuleResult:
    """A picture does not take much longer."""
    passed = against.latency_ratio <= gate.max_latency_ratio
    takes = "at most" if passed else "more than"
    return RuleResult("latency", passed, f"a picture takes {takes} {gate.max_latency_ratio:g} times the champion's time")


FOR_ALL: tuple[Callable[[GateInputs, Gate], RuleResult], ...] = (finite, export, floor_map, floor_map50)
AGAINST_A_CHAMPION: tuple[Callable[[Measurements, Comparison, Gate], RuleResult], ...] = (classes, gain, certainty, class_drop, size, latency)


def points(score: float) -> str:
    """A score of 0..1 in points of 0..100."""
    return f"{100 * score:.1f}"


def _floor(metric: str, value: float, least: float) -> RuleResult:
    passed = value >= least  # False for NaN
    return RuleResult(f"floor_{metric.lower()}", passed, f"{metric} is {points(value)}, {_at_least(passed)} {points(least)}")


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _at_least(passed: bool) -> str:
    return "at least" if passed else "less than"


def _at_most(passed: bool) -> str:
    return "at most" if passed else "more than"


def _changes(ours: tuple[str, ...], theirs: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    yield "+", sorted(set(ours) - set(theirs))
    yield "-", sorted(set(theirs) - set(ours))
