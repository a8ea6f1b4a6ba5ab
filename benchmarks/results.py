"""An ablation's results on disk and on the terminal: results.json holds everything, results.md and the terminal two tables of it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.comparison import Facts, Pair, Row, Runs, Spread, compare, pairs
from benchmarks.variants import Variant
from kd.files import atomic_file, write_json

NOTES = """\
Scores are in points: mean ± standard deviation over the seeds. Gains and differences are between trainings of one seed: mean ±
standard error, then seed by seed. Gap closed is the mean gain as a share of the distance from the baseline to the teacher;
gradient ratio is the distillation's gradient over the detection's, a mean over the epochs; seconds are of one training."""
WIDTH = 400  # columns at most: numbers that are wrapped inside their cells cannot be compared
MIXED = "These trainings ran with different versions of the code."


class Grid(NamedTuple):
    """A table of text."""

    header: list[str]
    rows: list[list[str]]


def write_results(out: Path, about: dict[str, Any], variants: Sequence[Variant], runs: Runs, teacher: Facts) -> list[Grid]:
    """Write results.json and results.md to `out`, and return the tables.

    Args:
        out: the folder.
        about: the command, split and parameters.
        variants: in the order of the table; those without a finished training are left out.
        runs: what is finished.
        teacher: facts of the teacher.
    """
    rows, questions = compare(variants, runs, teacher), pairs(variants, runs)
    content = {"teacher": teacher, "runs": runs, "variants": [asdict(row) for row in rows], "pairs": [asdict(pair) for pair in questions]}
    write_json(out / "results.json", about | content)
    grids = [scores_grid(rows, teacher), *([pairs_grid(questions)] if questions else [])]
    with atomic_file(out / "results.md") as temporary:
        temporary.write_text("\n".join(_markdown(about, grids, runs)) + "\n", encoding="utf-8")
    return grids


def show(grids: Sequence[Grid]) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    console.width = WIDTH
    for header, rows in grids:
        table = Table(box=SIMPLE)
        table.add_column(header[0], no_wrap=True)
        for title in header[1:]:
            table.add_column(title, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, row))  # the [taps] of a variant's name are no markup
        console.print(table)


def scores_grid(rows: Sequence[Row], teacher: Facts) -> Grid:
    """A row a variant, below the teacher's."""
    header = ["variant", "seeds", "mAP50", "mAP", "gain in mAP50", "by seed", "gain in mAP", "gap closed", "gradient ratio", "seconds"]
    first = ["teacher", "1", _points(teacher["map50"]), _points(teacher["map"]), "", "", "", "", "", _whole(teacher["seconds"])]
    return Grid(header, [first, *([*_cells(row)] for row in rows)])


def pairs_grid(questions: Sequence[Pair]) -> Grid:
    """A row a pair of variants."""
    rows = [[f"{pair.first} - {pair.second}", _gain(pair.difference), _by_seed(pair.differences)] for pair in questions]
    return Grid(["difference in mAP50", "mean", "by seed"], rows)


def _cells(row: Row) -> Iterator[str]:
    yield from (row.variant, str(len(row.seeds)), _score(row.map50), _score(row.map))
    yield from (_gain(row.gain50), _by_seed(row.gains50), _gain(row.gain))
    yield "" if row.gap_closed is None else f"{row.gap_closed:.0%}"
    yield "" if row.gradient_ratio is None else f"{row.gradient_ratio:.2f}"
    yield _whole(row.seconds)


def _markdown(about: dict[str, Any], grids: Sequence[Grid], runs: Runs) -> Iterator[str]:
    trainings = [facts for own in runs.values() for facts in own.values()]
    machines, codes = (sorted({facts[key] for facts in trainings}) for key in ("machine", "code"))
    yield f"`{about['command']}`\n\n{about['split']} split; {'; '.join(machines)}"
    for header, rows in grids:
        lines = [header, ["---", *(["---:"] * (len(header) - 1))], *rows]
        yield from ("", *("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines))
    yield from ("", NOTES, *([MIXED] if len(codes) > 1 else []))


def _score(value: Spread) -> str:
    return _points(value.mean) + ("" if value.deviation is None else f" ± {_points(value.deviation)}")


def _gain(value: Spread | None) -> str:
    if value is None:
        return ""
    return f"{100 * value.mean:+.1f}" + ("" if value.error is None else f" ± {_points(value.error)}")


def _by_seed(values: dict[int, float]) -> str:
    return ", ".join(f"{100 * value:+.1f}" for value in values.values())


def _points(score: float) -> str:
    return f"{100 * score:.1f}"


def _whole(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f}"
