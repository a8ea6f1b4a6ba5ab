"""Compare two sets of pictures by the population stability index (PSI) of each feature.

The formula is one line of NumPy: evidently needs 31 more packages (a web server and NLTK among them), NannyML 21 (XGBoost, Google's cloud).

PSI = sum((p - q) * ln(p / q)) over bins with the shares p and q. Above 0.1 is usually called a moderate change, above 0.25 a large one,
but without a change, PSI is distributed about like (1/n + 1/m) * chi2(bins - 1) for samples of n and m: B. Yurdakul and J. Naranjo,
Statistical properties of the population stability index, Journal of Risk Model Validation 14(4), 2020. So a change counts only if it
is also larger than this noise.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2

from components.register_model.reference import Distributions, class_counts, feature_values, histogram
from components.register_model.serving_log import PictureRecord

MODERATE, LARGE = 0.1, 0.25
FALSE_ALARM = 0.01
"""The chance that any feature exceeds its noise without a change."""
MIN_PICTURES = 100
"""The least number of pictures to compare, in the log and in the reference."""
EMPTY = 0.5
"""What is added to each count, because the index is infinite for an empty bin."""


class FeatureDrift(NamedTuple):
    """The change of a feature.

    Attributes:
        feature: its name.
        psi: its population stability index, 0 or more.
        noise: the limit of the index without a change; the chance that any of the features exceeds its own is `FALSE_ALARM`.
        expected: the shares of the bins in the reference.
        actual: the shares of the bins in the log.
    """

    feature: str
    psi: float
    noise: float
    expected: list[float]
    actual: list[float]

    def exceeds(self, threshold: float) -> bool:
        """Whether the feature drifts: its index is at least the threshold, and more than noise."""
        return self.psi >= max(threshold, self.noise)

    @property
    def severity(self) -> str:
        """The change in words: none, moderate or large."""
        if not self.exceeds(MODERATE):
            return "none"
        return "large" if self.psi >= LARGE else "moderate"


def measure_drift(expected: Distributions, records: Sequence[PictureRecord]) -> list[FeatureDrift]:
    """The change of each feature from a reference to the records of a log. Classes that the reference does not have are ignored."""
    samples = list(_samples(expected, records))
    comparisons = len(samples)
    return [_change(feature, before, after, limits, comparisons) for feature, before, after, limits in samples]


def psi(before: Sequence[int], after: Sequence[int]) -> float:
    """The population stability index of two histograms with the same bins."""
    p, q = ((counts + EMPTY) / (counts + EMPTY).sum() for counts in (np.asarray(before, np.float64), np.asarray(after, np.float64)))
    return float(((p - q) * np.log(p / q)).sum())


def _samples(expected: Distributions, records: Sequence[PictureRecord]) -> Iterator[tuple[str, list[int], list[int], tuple[int, int]]]:
    """The two histograms of each feature, and the numbers of pictures.

    The detections in a picture are alike, so there are no more independent values than pictures.
    """
    pictures = (expected["pictures"], len(records))
    for feature, values in feature_values(records).items():
        own = expected["histograms"][feature]
        yield feature, own["counts"], histogram(values, own["edges"]).tolist(), pictures
    counts, classes = class_counts(records, expected["classes"]), expected["classes"]
    before, after = ([of["objects"][name] for name in classes] for of in (expected, counts))
    yield "shares of the classes", before, after, pictures
    for name in classes:
        with_it = (expected["pictures_with"][name], counts["pictures_with"][name])
        before, after = ([count, total - count] for count, total in zip(with_it, pictures, strict=True))
        yield f"pictures with {name}", before, after, pictures


def _change(feature: str, before: list[int], after: list[int], pictures: tuple[int, int], comparisons: int) -> FeatureDrift:
    sizes = [max(1, min(total, sum(counts))) for total, counts in zip(pictures, (before, after), strict=True)]
    quantile = float(chi2.ppf(1 - FALSE_ALARM / comparisons, len(before) - 1)) if len(before) > 1 else math.inf
    return FeatureDrift(feature, psi(before, after), quantile * sum(1 / size for size in sizes), _shares(before), _shares(after))


def _shares(counts: Sequence[int]) -> list[float]:
    return [round(count / max(1, sum(counts)), 4) for count in counts]
