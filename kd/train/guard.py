"""A warning where a distillation pulls so hard that detection is not learnt."""

from itertools import pairwise

TOO_HARD = 35.0
"""The gradient ratio from which on the labels have hardly a say: on blood cells a recipe that gained 4 points never stayed above 28
for a whole epoch, one that lost points began an epoch with 63 and ended it with 56 (docs/results.md)."""


def too_hard(history: list[dict[str, float]]) -> bool:
    """Whether the last epoch of `history` is the first that both began and ended with a gradient ratio above `TOO_HARD`.

    The ratio is measured in the first step of an epoch, so two in a row tell of the whole epoch between them; one alone may be
    a strange batch, or an untrained adapter.
    """
    high = [row.get("gradient_ratio", 0.0) > TOO_HARD for row in history]
    return high[-2:] == [True, True] and [*pairwise(high)].count((True, True)) == 1
