"""`python -m components.results`: what the last run reached, as a table in the terminal."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components.evaluate.latency import latencies
from components.evaluate.report.models import TITLES
from components.evaluate.report.verdict import points, verdict
from components.runtime.recorder import mask_passwords
from components.runtime.tracking import tracking_uri
from kd.data.dataset import DetectionData
from kd.errors import InputError, handle_errors
from kd.files import read_json
from kd.model.store import load_model

FOLDERS = {"teacher": "train_teacher", "baseline": "train_baseline", "student": "distill_student"}
NEEDED = ("teacher", "student")  # the baseline can be left out, and the gain with it


@handle_errors
def main() -> None:
    """Print the scores of the three models, with their times measured now, and where to look next."""
    parser = argparse.ArgumentParser(prog="python -m components.results", description=main.__doc__)
    parser.add_argument(
        "--outputs", type=Path, default=Path("outputs"), metavar="PATH", help="folder of the steps' outputs (default: outputs)"
    )
    outputs = parser.parse_args().outputs
    metrics = read_metrics(outputs / "evaluate/metrics.json")
    console = Console(highlight=False)
    console.print(results_table(metrics, _milliseconds(outputs, metrics)))
    result = verdict(metrics)
    for line in (f"{result.headline}. {result.sentences[-1]}", "", *_next_steps(outputs)):
        console.print(line, markup=False, soft_wrap=True)


def read_metrics(path: Path) -> dict[str, Any]:
    """Read metrics.json.

    Raises:
        InputError: if it is missing or is not what the step evaluate wrote.
    """
    metrics = read_json(path)
    if not isinstance(metrics, dict) or any(name not in metrics for name in NEEDED):
        raise InputError(path, f"lacks one of {', '.join(NEEDED)}", "run the step evaluate again")
    return metrics


def results_table(metrics: dict[str, Any], milliseconds: dict[str, float]) -> Table:
    """A row a model; scores in points (0 to 100)."""
    table = Table("", "mAP50", "mAP", "parameters", "ms a picture")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, title in TITLES.items():
        if not (model := metrics.get(name)):
            continue
        cells = points(model["map50"]), points(model["map"]), f"{model['parameters']:,}", f"{milliseconds[name]:.1f}"
        table.add_row(title, *cells, style="bold" if name == "student" else None)
    return table


def tracking_line() -> str:
    """How to see the runs: the command for a store in a file or database, the address of a server."""
    uri = mask_passwords(tracking_uri())
    return f"open {uri}" if uri.startswith(("http://", "https://")) else f"mlflow ui --backend-store-uri {uri}"


def _milliseconds(outputs: Path, metrics: dict[str, Any]) -> dict[str, float]:
    models = {name: load_model(outputs / folder / "model.safetensors") for name, folder in FOLDERS.items() if name in metrics}
    return latencies(models, DetectionData(outputs / "prepare_data/test", models["student"][1].image_size))


def _next_steps(outputs: Path) -> list[str]:
    return [
        f"Report:  {outputs / 'evaluate/report.html'}",
        f"Runs:    {tracking_line()}",
        f"Try it:  kd predict {outputs / 'distill_student/model.safetensors'} PICTURES",
    ]


if __name__ == "__main__":
    main()
