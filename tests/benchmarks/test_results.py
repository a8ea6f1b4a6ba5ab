"""The tables as text."""

from pathlib import Path

import pytest

from benchmarks.comparison import Facts
from benchmarks.results import MIXED, show, write_results
from benchmarks.variants import parse

TEACHER: Facts = {"map50": 0.6, "map": 0.3, "seconds": None}
ABOUT = {"command": "python -m benchmarks.ablation --data x", "split": "val"}


def facts(map50: float, seconds: float | None = 10.0, code: str = "1", machine: str = "CPU, 2026-01-01", **more: object) -> Facts:
    return {"map50": map50, "map": map50 / 2, "seconds": seconds, "code": code, "machine": machine, **more}


def markdown(out: Path, runs: dict[str, dict[int, Facts]]) -> list[str]:
    write_results(out, ABOUT, [parse(name) for name in runs], runs, TEACHER)
    return (out / "results.md").read_text().splitlines()


def test_the_table_is_in_points(tmp_path: Path) -> None:
    runs = {
        "baseline": {0: facts(0.30), 1: facts(0.34, None)},
        "activation-both": {0: facts(0.40, gradient_ratio=0.5), 1: facts(0.38, gradient_ratio=1.5)},
        "uniform-both": {1: facts(0.35, gradient_ratio=1.0)},
    }
    lines = markdown(tmp_path, runs)
    assert lines[0] == "`python -m benchmarks.ablation --data x`" and lines[2] == "val split; CPU, 2026-01-01"
    assert lines[6:10] == [
        "| teacher | 1 | 60.0 | 30.0 |  |  |  |  |  |  |",
        "| baseline | 2 | 32.0 ± 2.8 | 16.0 ± 1.4 |  |  |  |  |  | 10 |",
        "| activation-both | 2 | 39.0 ± 1.4 | 19.5 ± 0.7 | +7.0 ± 3.0 | +10.0, +4.0 | +3.5 ± 1.5 | 25% | 1.00 | 10 |",
        "| uniform-both | 1 | 35.0 | 17.5 | +1.0 | +1.0 | +0.5 | 4% | 1.00 | 10 |",
    ]
    assert "| activation-both - uniform-both | +3.0 | +3.0 |" in lines
    assert MIXED not in lines


def test_machines_and_versions_of_the_code_are_told(tmp_path: Path) -> None:
    lines = markdown(tmp_path, {"baseline": {0: facts(0.3), 1: facts(0.3, machine="GPU, 2026-01-02", code="2")}})
    assert lines[2] == "val split; CPU, 2026-01-01; GPU, 2026-01-02"
    assert lines[-1] == MIXED


def test_brackets_of_a_variant_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = {"default@taps=[backbone]": {0: facts(0.4)}}
    show(write_results(tmp_path, ABOUT, [parse(name) for name in runs], runs, TEACHER))
    assert "default@taps=[backbone]" in capsys.readouterr().out
