"""Statistics of an ablation: means, deviations, and differences between trainings of the same seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.variants import TAPS, Variant

Facts = Mapping[str, Any]
"""Of one training: "map50" and "map" (0..1), "seconds" (or None), "machine", "code", and for a distillation "gradient_ratio"."""
Runs = Mapping[str, Mapping[int, Facts]]
"""By variant and seed."""


@dataclass(frozen=True)
class Spread:
    """Values of several seeds: mean, standard deviation (n - 1), and the mean's standard error; one value has only a mean."""

    mean: float
    deviation: float | None
    error: float | None


@dataclass(frozen=True)
class Row:
    """A variant over its seeds; scores are 0..1.

    Attributes:
        variant: its name.
        baseline: the baseline that it is compared with.
        seeds: of its finished trainings.
        map50: mAP50.
        map: mAP.
        gain50: difference in mAP50 to the baseline of the same seed; None for a baseline.
        gain: difference in mAP, likewise.
        gains50: differences in mAP50 by seed.
        gap_closed: mean gain in mAP50 as a share of the distance from baseline to teacher; None where the teacher is no better.
        gradient_ratio: mean over epochs and seeds; None without a teacher.
        seconds: mean of a training; None where none was timed.
    """

    variant: str
    baseline: str
    seeds: list[int]
    map50: Spread
    map: Spread
    gain50: Spread | None
    gain: Spread | None
    gains50: dict[int, float]
    gap_closed: float | None
    gradient_ratio: float | None
    seconds: float | None


@dataclass(frozen=True)
class Pair:
    """Two variants over the seeds that both have: differences in mAP50 (0..1), first less second."""

    first: str
    second: str
    difference: Spread
    differences: dict[int, float]


def spread(values: Sequence[float]) -> Spread:
    """Mean, deviation and error of at least one value."""
    if len(values) < 2:
        return Spread(float(np.mean(values)), None, None)
    deviation = float(np.std(values, ddof=1))
    return Spread(float(np.mean(values)), deviation, deviation / len(values) ** 0.5)


def compare(variants: Sequence[Variant], runs: Runs, teacher: Facts) -> list[Row]:
    """A row for each variant that has a finished training, in their order."""
    return [_row(variant, runs, teacher) for variant in variants if runs.get(variant.name)]


def differences(runs: Runs, first: str, second: str, score: str = "map50") -> dict[int, float]:
    """First less second, by seed."""
    ours, theirs = runs.get(first, {}), runs.get(second, {})
    return {seed: ours[seed][score] - theirs[seed][score] for seed in sorted(ours.keys() & theirs.keys())}


def pairs(variants: Sequence[Variant], runs: Runs) -> list[Pair]:
    """The comparisons of the method itself: a method of the map with uniform weights, and both taps with one of them."""
    names = [variant.name for variant in variants]
    names_of_pairs = [(first, second) for first in names for second in _compared_with(first) if second in names]
    found = [(first, second, differences(runs, first, second)) for first, second in names_of_pairs]
    return [Pair(first, second, spread(list(by_seed.values())), by_seed) for first, second, by_seed in found if by_seed]


def _compared_with(name: str) -> list[str]:
    """The variants that a METHOD-TAPS[+response][@changes] is compared with; none for other names."""
    base, at, changes = name.partition("@")
    base, plus, response = base.partition("+")
    method, _, taps = base.partition("-")
    if taps not in TAPS:
        return []
    others = [f"uniform-{taps}"] if method != "uniform" else []
    others += [f"{method}-{one}" for one in TAPS if one != taps] if taps == "both" else []
    return [other + plus + response + at + changes for other in others]


def _row(variant: Variant, runs: Runs, teacher: Facts) -> Row:
    own = runs[variant.name]
    gains = {} if variant.is_baseline else {score: differences(runs, variant.name, variant.baseline, score) for score in ("map50", "map")}
    gain50, gain = ((spread(list(gains[score].values())) if gains.get(score) else None) for score in ("map50", "map"))
    baseline = [runs[variant.baseline][seed]["map50"] for seed in gains.get("map50", {})]
    gap = teacher["map50"] - float(np.mean(baseline)) if baseline else 0.0
    return Row(
        variant=variant.name,
        baseline=variant.baseline,
        seeds=sorted(own),
        map50=spread([facts["map50"] for facts in own.values()]),
        map=spread([facts["map"] for facts in own.values()]),
        gain50=gain50,
        gain=gain,
        gains50=gains.get("map50", {}),
        gap_closed=gain50.mean / gap if gain50 and gap > 0 else None,
        gradient_ratio=_mean(own, "gradient_ratio"),
        seconds=_mean(own, "seconds"),
    )


def _mean(own: Mapping[int, Facts], key: str) -> float | None:
    values = [facts[key] for facts in own.values() if facts.get(key) is not None]
    return float(np.mean(values)) if values else None
