"""The data of DVC's plots, in long format: one row for each point, with the name of the model.

The history.csv of a training cannot be plotted directly: DVC draws the empty cells of epochs without scores as zeros.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from components.evaluate.report.models import EvaluatedModel, detection_loss
from kd.detection.scores import RECALLS

Row = tuple[str | float, ...]


def write_tables(folder: Path, models: Mapping[str, EvaluatedModel]) -> None:
    """Write learning_curves.csv, losses.csv, precision_recall.csv (IoU 0.5) and per_class.csv to `folder`; scores in 0..1."""
    curves: list[Row] = []
    losses: list[Row] = []
    precision: list[Row] = []
    classes: list[Row] = []
    for name, model in models.items():
        scores, history = model.scores, model.history
        curves += [(name, int(row["epoch"]), row["val_map50"]) for row in history if "val_map50" in row]
        losses += [(name, int(row["epoch"]), detection_loss(row)) for row in history if row["epoch"]]
        precision += [(name, *point) for point in zip(RECALLS.tolist(), scores.precision, strict=False)]
        classes += [(name, label, values["ap"], values["ap50"]) for label, values in scores.per_class.items()]
    _write(folder / "learning_curves.csv", ("model", "epoch", "val_map50"), curves)
    _write(folder / "losses.csv", ("model", "epoch", "loss"), losses)
    _write(folder / "precision_recall.csv", ("model", "recall", "precision"), precision)
    _write(folder / "per_class.csv", ("model", "class", "ap", "ap50"), classes)


def _write(path: Path, header: Row, rows: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
