"""The learning rate over a training."""

from itertools import pairwise

import pytest

from kd.train.lr_schedule import MIN_FACTOR, lr_factor


def test_it_warms_up_in_a_line_and_goes_down_in_half_a_cosine() -> None:
    rates = [lr_factor(step, 100, 9) for step in range(100)]
    assert rates[:9] == pytest.approx([k / 10 for k in range(1, 10)])
    assert rates[9] == 1.0
    assert all(before > after for before, after in pairwise(rates[9:]))
    assert lr_factor(9 + 91 // 2, 100, 9) + lr_factor(100 - 91 // 2, 100, 9) == pytest.approx(1 + MIN_FACTOR)
    assert MIN_FACTOR < rates[-1] < 2 * MIN_FACTOR


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 5), (3, 3), (10, 0), (2, 1)])
def test_short_trainings_have_a_rate_in_every_step(steps: int, warmup: int) -> None:
    assert all(0 < lr_factor(step, steps, warmup) <= 1 for step in range(steps))


def test_without_warm_up_it_begins_at_the_peak() -> None:
    assert lr_factor(0, 10, 0) == 1.0
