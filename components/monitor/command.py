"""The command `kdflow monitor`: compare the log of a served model with the detections in the test pictures."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.params.load import load_params
from kd.arguments import count, number_type
from kd.errors import InputError, clean_exit, printable

if TYPE_CHECKING:
    from components.monitor.drift import FeatureDrift
    from components.monitor.records import LogWindow

NEWEST, THRESHOLD = 1000, 0.1
DESCRIPTION = """Compare the log of a served model with the detections in the test pictures, by the population stability index.

LOG is the file in KDFLOW_SERVING_LOG of the server. VERSION is a number, an alias, such as champion (the default),
models:/NAME@ALIAS, or a monitoring_reference.json."""
EPILOG = """examples:
  {prog} serving.jsonl
  {prog} serving.jsonl models:/kdflow-student@champion --json
  {prog} serving.jsonl 3 --data outputs/prepare_data
  {prog} serving.jsonl --newest 200; [ $? -ne 1 ] || dvc repro

exit codes: 0 no drift; 1 drift; 2 an error, such as too few pictures"""


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m components.monitor") -> None:
    """Run the command line."""
    args = _parser(prog).parse_args(arguments)
    params = load_params(args.params, args.set)
    from components.monitor.drift import MIN_PICTURES, measure_drift
    from components.monitor.records import read_window
    from components.monitor.sources import load_reference

    if args.newest < MIN_PICTURES:
        raise InputError("--newest", f"is {args.newest}, but a comparison needs {MIN_PICTURES} pictures", "raise it")
    expected = load_reference(args.version, args.data, params)
    window = read_window(args.log, expected, args.newest)
    changes = measure_drift(expected, window.pictures)
    drifting = [change for change in changes if change.exceeds(args.threshold)]
    if args.json:
        print(json.dumps(_as_json(expected["pictures"], window, changes, args.threshold), indent=2))
    else:
        _print_table(changes, args.threshold)
        others = f"{window.other_model} of another model and {window.other_settings} with other parameters are left out"
        print(f"{len(window.pictures)} pictures, compared with {expected['pictures']} test pictures; {others}")
        print(printable(f"drift: {', '.join(change.feature for change in drifting)}" if drifting else "no drift"))
    sys.exit(1 if drifting else 0)


def _as_json(pictures: int, window: "LogWindow", changes: "Sequence[FeatureDrift]", threshold: float) -> dict[str, object]:
    return {
        "drift": any(change.exceeds(threshold) for change in changes),
        "threshold": threshold,
        "pictures": len(window.pictures),
        "test_pictures": pictures,
        "other_model": window.other_model,
        "other_settings": window.other_settings,
        "features": [{**change._asdict(), "change": change.severity, "drift": change.exceeds(threshold)} for change in changes],
    }


def _print_table(changes: "Sequence[FeatureDrift]", threshold: float) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("feature", "PSI", "noise up to", "change", "")
    for change in changes:
        mark = "[red bold]drift" if change.exceeds(threshold) else ""
        table.add_row(escape(printable(change.feature)), f"{change.psi:.3f}", f"{change.noise:.3f}", change.severity, mark)
    Console(highlight=False).print(table)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = EPILOG.format(prog=prog)
    parser.add_argument("log", type=Path, metavar="LOG", help="the log, JSON lines")
    parser.add_argument("version", nargs="?", default="champion", metavar="VERSION", help="what to compare with (default: champion)")
    parser.add_argument("--newest", type=count, default=NEWEST, metavar="N", help="compare the newest N pictures (default: %(default)s)")
    threshold_help = "a feature drifts if its PSI is at least this, and more than noise; 0.25 is a large change (default: %(default)s)"
    parser.add_argument("--threshold", type=_threshold, default=THRESHOLD, metavar="PSI", help=threshold_help)
    data_help = "prepared data, to compute the reference from its test pictures, for versions of older releases"
    parser.add_argument("--data", type=Path, metavar="PATH", help=data_help)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter")
    return parser


_threshold = number_type(float, lambda value: 0 <= value < math.inf, "0 or more")
