"""`python -m components.results`: what the last run reached, as a table in the terminal."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from components.courier import masked
from components.latency import latencies
from components.tracking import store_uri
from kd.errors import exits_cleanly
from kd.files import read_json

ROWS = {"teacher": "Teacher", "baseline": "Student alone", "student": "Student distilled"}
FOLDERS = {"teacher": "train_teacher", "baseline": "train_baseline", "student": "distill_student"}


@exits_cleanly
def main() -> None:
    """Print the scores of the three models, with their times measured now, and where to look next."""
    parser = argparse.ArgumentParser(prog="python -m components.results", description=main.__doc__)
    parser.add_argument(
        "--outputs", type=Path, default=Path("outputs"), metavar="PATH", help="folder of the steps' outputs (default: outputs)"
    )
    outputs = parser.parse_args().outputs
    metrics = read_json(outputs / "evaluate/metrics.json")
    times = latencies({name: outputs / folder / "model.safetensors" for name, folder in FOLDERS.items()})
    console = Console()
    console.print(results_table(metrics, times))
    gain = metrics["gain"]
    closed = f", {gain['gap_closed']:.0%} of the gap to the teacher" if "gap_closed" in gain else ""
    console.print(f"Distillation adds {100 * gain['map50']:+.1f} points of mAP50 and {100 * gain['map']:+.1f} of mAP{closed}.")
    console.print(f"Report:   {outputs / 'evaluate/report.html'}")
    console.print(f"Runs:     mlflow ui --backend-store-uri {masked(store_uri())}", soft_wrap=True)
    console.print(f"Try it:   kd predict {outputs / 'distill_student/model.safetensors'} PICTURES", soft_wrap=True)


def results_table(metrics: dict[str, Any], times: dict[str, float]) -> Table:
    """A row a model; scores in points (0 to 100)."""
    table = Table("", "mAP50", "mAP", "parameters", "ms a picture")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, title in ROWS.items():
        scores = metrics[name]
        points = (f"{100 * scores[key]:.1f}" for key in ("map50", "map"))
        table.add_row(title, *points, f"{scores['parameters']:,}", f"{times[name]:.1f}")
    return table


if __name__ == "__main__":
    main()
