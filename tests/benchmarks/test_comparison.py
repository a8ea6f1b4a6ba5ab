"""The statistics of an ablation against NumPy on made-up scores."""

import numpy as np
import pytest

from benchmarks.comparison import Facts, Runs, compare, differences, pairs, spread
from benchmarks.variants import parse

BASELINE, BOTH, UNIFORM = [0.30, 0.34, 0.29], [0.41, 0.40, 0.36], [0.38, 0.41, 0.33]
TEACHER: Facts = {"map50": 0.6, "map": 0.3, "seconds": 100.0}


def facts(map50: float, **more: object) -> Facts:
    return {"map50": map50, "map": map50 / 2, "seconds": 10.0, "code": "c", **more}


@pytest.fixture
def runs() -> dict[str, dict[int, Facts]]:
    return {
        "baseline": {seed: facts(value) for seed, value in enumerate(BASELINE)},
        "activation-both": {seed: facts(value, gradient_ratio=0.1 * seed) for seed, value in enumerate(BOTH)},
        "uniform-both": {seed: facts(value, gradient_ratio=1.0) for seed, value in enumerate(UNIFORM)},
    }


def test_a_row_holds_means_and_paired_differences(runs: Runs) -> None:
    alone, both, _ = compare([parse(name) for name in runs], runs, TEACHER)
    assert both.map50.mean == pytest.approx(np.mean(BOTH)) and both.map50.deviation == pytest.approx(np.std(BOTH, ddof=1))
    assert both.map.mean == pytest.approx(np.mean(BOTH) / 2)
    gains = np.subtract(BOTH, BASELINE)
    assert list(both.gains50.values()) == pytest.approx(gains)
    assert both.gain50 is not None and both.gain50.mean == pytest.approx(gains.mean())
    assert both.gain50.error == pytest.approx(gains.std(ddof=1) / np.sqrt(3))
    assert both.gain is not None and both.gain.error == pytest.approx(gains.std(ddof=1) / np.sqrt(3) / 2)
    assert both.gap_closed == pytest.approx(gains.mean() / (0.6 - np.mean(BASELINE)))
    assert both.gradient_ratio == pytest.approx(0.1) and both.seconds == 10.0
    assert alone.gain50 is None and alone.gains50 == {} and alone.gap_closed is None and alone.gradient_ratio is None


def test_differences_pair_the_seeds_that_both_have(runs: dict) -> None:
    del runs["baseline"][1]
    runs["uniform-both"][7] = facts(0.9)
    assert differences(runs, "uniform-both", "baseline") == pytest.approx({0: 0.08, 2: 0.04})
    row = compare([parse("uniform-both")], runs, TEACHER)[0]
    assert row.seeds == [0, 1, 2, 7] and list(row.gains50) == [0, 2]
    assert row.gap_closed == pytest.approx(0.06 / (0.6 - np.mean([0.30, 0.29])))


def test_one_seed_has_no_deviation() -> None:
    one = spread([0.4])
    assert (one.mean, one.deviation, one.error) == (0.4, None, None)
    assert spread([0.1, 0.1]).deviation == 0.0


def test_a_teacher_that_is_no_better_leaves_no_gap(runs: Runs) -> None:
    assert compare([parse("activation-both")], runs, TEACHER | {"map50": 0.3})[0].gap_closed is None


def test_what_is_not_finished_is_left_out(runs: dict) -> None:
    runs["activation-both"] = {}
    assert [row.variant for row in compare([parse(n) for n in ("baseline", "activation-both", "fgd")], runs, TEACHER)] == ["baseline"]


def test_a_resumed_training_may_have_no_seconds(runs: dict) -> None:
    runs["baseline"][0] = facts(0.3, seconds=None)
    assert compare([parse("baseline")], runs, TEACHER)[0].seconds == 10.0
    runs["baseline"] = {0: facts(0.3, seconds=None)}
    assert compare([parse("baseline")], runs, TEACHER)[0].seconds is None


def test_the_methods_questions_are_asked(runs: dict) -> None:
    runs["activation-backbone"] = {0: facts(0.35), 2: facts(0.37)}
    found = {(pair.first, pair.second): pair for pair in pairs([parse(name) for name in runs], runs)}
    assert set(found) == {("activation-both", "uniform-both"), ("activation-both", "activation-backbone")}
    assert found["activation-both", "activation-backbone"].differences == pytest.approx({0: 0.06, 2: -0.01})
    values = np.subtract(BOTH, UNIFORM)
    assert found["activation-both", "uniform-both"].difference.mean == pytest.approx(values.mean())


def test_questions_compare_equal_changes_alone() -> None:
    names = [
        "activation-both@w=3",
        "uniform-both@w=3",
        "uniform-both",
        "activation-both+response@w=3",
        "uniform-both+response@w=3",
        "fgd@w=3",
    ]
    variants = [parse(name) for name in names]
    found = pairs(variants, {variant.name: {0: facts(0.5)} for variant in variants})
    assert [(pair.first, pair.second) for pair in found] == [
        ("activation-both@weight=3", "uniform-both@weight=3"),
        ("activation-both+response@weight=3", "uniform-both+response@weight=3"),
    ]
