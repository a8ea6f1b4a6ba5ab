"""The command `kdflow results`: the scores of the last run, as a table in the terminal."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components.evaluate.latency import latencies
from components.evaluate.points import format_points
from components.evaluate.report.conclusion import conclude
from components.evaluate.report.models import TITLES
from components.runtime.store import tracking_uri
from components.runtime.text import mask_passwords
from kd.data.dataset import DetectionData
from kd.errors import InputError, clean_exit
from kd.files import read_json
from kd.model.store import load_model

FOLDERS = {"teacher": "train_teacher", "baseline": "train_baseline", "student": "distill_student"}
REQUIRED = ("teacher", "student")  # the baseline is optional


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "kdflow results") -> None:
    """Print the scores and latencies of the models, and where the report and the runs are."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Print the scores of the last run, the latencies of its models, and where the report and the runs are.",
        epilog=f"examples:\n  {prog}\n  {prog} --outputs .pipeline/outputs",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), metavar="PATH", help="folder of the outputs (default: outputs)")
    outputs = parser.parse_args(arguments).outputs
    metrics = read_metrics(outputs / "evaluate/metrics.json")
    console = Console(highlight=False)
    console.print(results_table(metrics, _latencies(outputs, metrics)))
    conclusion = conclude(metrics)
    for line in (f"{conclusion.headline}. {conclusion.sentences[-1]}", "", *_next_steps(outputs)):
        console.print(line, markup=False, soft_wrap=True)


def read_metrics(path: Path) -> dict[str, Any]:
    """Read metrics.json.

    Raises:
        InputError: if it is missing, or was not written by the step evaluate.
    """
    metrics = read_json(path)
    if not isinstance(metrics, dict) or any(name not in metrics for name in REQUIRED):
        raise InputError(path, f"lacks one of {', '.join(REQUIRED)}", "run the step evaluate again")
    return metrics


def results_table(metrics: dict[str, Any], milliseconds: dict[str, float]) -> Table:
    """One row per model; scores in points (0 to 100)."""
    table = Table("", "mAP50", "mAP", "parameters", "ms per picture")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, title in TITLES.items():
        if not (model := metrics.get(name)):
            continue
        cells = format_points(model["map50"]), format_points(model["map"]), f"{model['parameters']:,}", f"{milliseconds[name]:.1f}"
        table.add_row(title, *cells, style="bold" if name == "student" else None)
    return table


def tracking_line() -> str:
    """How to see the runs: a command for a store in a file or database, the address of a server."""
    uri = mask_passwords(tracking_uri())
    return f"open {uri}" if uri.startswith(("http://", "https://")) else f"mlflow ui --backend-store-uri {uri}"


def _latencies(outputs: Path, metrics: dict[str, Any]) -> dict[str, float]:
    models = {name: load_model(outputs / folder / "model.safetensors") for name, folder in FOLDERS.items() if name in metrics}
    return latencies(models, DetectionData(outputs / "prepare_data/test", models["student"][1].image_size))


def _next_steps(outputs: Path) -> list[str]:
    return [
        f"Report:  {outputs / 'evaluate/report.html'}",
        f"Runs:    {tracking_line()}",
        f"Try it:  kdflow predict {outputs / 'distill_student/model.safetensors'} PICTURES",
    ]


if __name__ == "__main__":
    main()
