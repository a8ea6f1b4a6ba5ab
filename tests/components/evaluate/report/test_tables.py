"""The data of DVC's plots."""

import csv
from collections.abc import Callable
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[4]


def test_plots_have_no_empty_cells(evaluated: Callable[..., Path]) -> None:
    output = evaluated()
    tables = {file.stem: rows(file) for file in output.glob("*.csv")}
    assert all(all(row.values()) for table in tables.values() for row in table)
    assert [list(row.values()) for row in tables["learning_curves"]] == [
        ["teacher", "2", "0.2"],
        ["baseline", "2", "0.2"],
        ["student", "2", "0.3"],
    ]
    assert list(tables["losses"][1].values()) == ["teacher", "2", "3.5"]
    assert [len(table) for table in (tables["precision_recall"], tables["per_class"])] == [3 * 101, 3 * 2]
    assert list(tables["precision_recall"][0]) == ["model", "recall", "precision"]
    assert list(tables["per_class"][0]) == ["model", "class", "ap", "ap50"]


def test_the_plots_of_dvc_find_their_columns(evaluated: Callable[..., Path]) -> None:
    output = evaluated()
    plots = [plot for entry in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"] for plot in entry.values()]
    plotted = {Path(file).name: {plot["x"], column} for plot in plots for file, column in plot["y"].items()}
    assert set(plotted) == {file.name for file in output.glob("*.csv")}
    for name, columns in plotted.items():
        assert columns | {"model"} <= set(rows(output / name)[0]), "the templates in .dvc/plots color by model"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
