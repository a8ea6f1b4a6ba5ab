"""What every step shares: a command line, one MLflow run, and an output folder that appears whole or not at all.

A step is a function `step(params, run, <inputs>: Path, ..., output: Path)`. The defaults of its paths are the layout that
`dvc.yaml` uses; a KFP component passes its own.
"""

import argparse
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from components import tracking
from components.params import Params, load_params
from kd.errors import exits_cleanly
from kd.files import atomic_folder

Step = Callable[..., None]


def execute(step: Step, params: Params, **paths: Path) -> None:
    """Run `step` with `params`: track it, write its output beside its place and rename it.

    Under `torchrun` every process runs the step, and the first alone is tracked and keeps its output.
    """
    places = {**_default_paths(step), **paths}
    output = places.pop("output")
    if int(os.environ.get("RANK", 0)) > 0:
        with TemporaryDirectory() as nowhere:
            step(params, tracking.Untracked(), **places, output=Path(nowhere))
        return
    with tracking.step_run(step.__name__, params) as run, atomic_folder(output) as folder:
        step(params, run, **places, output=folder)


@exits_cleanly
def command(step: Step) -> None:
    """Be the command line of `step`: `python -m components.<step> [--params FILE] [--set name=value] [--<path> PATH]`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m components.{step.__name__}",
        description=inspect.getdoc(step),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change one parameter, as in teacher.train.epochs=3"
    )
    for name, default in _default_paths(step).items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=name, type=Path, default=default, metavar="PATH", help=f"default: {default}"
        )
    arguments = vars(parser.parse_args())
    params = load_params(arguments.pop("params"), arguments.pop("set"))
    execute(step, params, **arguments)


def _default_paths(step: Step) -> dict[str, Path]:
    parameters = inspect.signature(step).parameters.values()
    return {p.name: p.default for p in parameters if isinstance(p.default, Path)}
