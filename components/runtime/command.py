"""Run a step: its command line, its MLflow run, and its output folder, which is only kept if the step succeeds.

A step is a function `step(params, run, <inputs>: Path, ..., output: Path)`. The defaults of its paths are those of `dvc.yaml`;
a task in Kubeflow passes its own. A training returns its checkpoint.
"""

import argparse
import importlib
import inspect
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.params.load import load_params
from components.params.models import Params
from components.runtime import tracking
from components.runtime.execution import is_main_process
from components.runtime.outputs import check_output
from kd.errors import clean_exit
from kd.files import atomic_folder
from kd.memory import keep_freed_memory
from kd.threads import configure_threads

Step = Callable[..., Path | None]
SECTIONS = {
    "compose_scenes": ("compose_scenes",),
    "resolve_unlabelled": ("data",),
    "prepare_data": ("data",),
    "fetch_weights": ("student", "teacher"),
    "train_teacher": ("augment", "seed", "teacher"),
    "train_baseline": ("augment", "seed", "student"),
    "compute_info_maps": ("info_maps",),
    "distill_student": ("augment", "distill", "seed", "student"),
    "evaluate": ("augment", "distill", "evaluate", "info_maps", "seed", "student", "teacher"),
    # all that the model depends on, for the tags of the registered version
    "register_model": ("augment", "data", "distill", "evaluate", "info_maps", "register_model", "seed", "student", "teacher"),
}
"""The sections of `params.yaml` that each step reads. A step gets only these, and only these are logged to MLflow."""
UNTRACKED = ("fetch_weights", "resolve_unlabelled")
"""Have no run in MLflow: they run every time, and the steps that read their output record it."""


def run_step(step: Step, params: Params, **inputs: Any) -> None:
    """Run `step` with its sections of `params`, track it, and write its output atomically.

    If the step returns a checkpoint, it is deleted once the output is in its place.

    Under `torchrun` every process runs the step, but only the main process is tracked and keeps its output.

    Args:
        step: the step's function.
        params: the parameters.
        inputs: arguments of `step` that differ from its defaults, including `output`.

    Raises:
        InputError: before the step starts, if `output` must not be replaced, see `components.runtime.outputs`.
    """
    keep_freed_memory()
    params = params.only(SECTIONS[step.__name__])
    arguments = {**_default_paths(step), **inputs}
    output = arguments.pop("output")
    if not is_main_process():
        with TemporaryDirectory() as discarded:
            step(params, tracking.NullRun(), **arguments, output=Path(discarded))
        return
    check_output(step.__name__, output, _read_paths(step, params, arguments))
    tracked = nullcontext(tracking.NullRun()) if step.__name__ in UNTRACKED else tracking.step_run(step.__name__, params)
    with tracked as run, atomic_folder(output.resolve()) as folder:
        checkpoint = step(params, run, **arguments, output=folder)
    if checkpoint:
        checkpoint.unlink(missing_ok=True)


@clean_exit()
def run_command(name: str) -> None:
    """The command line of a step: `python -m components.<step> [--params FILE] [--set name=value] [--<path> PATH]`."""
    configure_threads()
    step = import_step(name)
    parser = argparse.ArgumentParser(
        prog=f"python -m components.{step.__name__}",
        description=inspect.getdoc(step),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change one parameter, as in teacher.train.epochs=3"
    )
    for parameter in inspect.signature(step).parameters.values():
        if isinstance(parameter.default, Path):
            _add_path(parser, parameter)
    arguments = vars(parser.parse_args())
    params = load_params(arguments.pop("params"), arguments.pop("set"))
    run_step(step, params, **arguments)


def import_step(name: str) -> Step:
    """The step `name`. Importing it may load torch, which reads the number of threads."""
    step: Step = getattr(importlib.import_module(f"components.{name}.step"), name)
    return step


def _add_path(parser: argparse.ArgumentParser, parameter: inspect.Parameter) -> None:
    """Add the option of a path; if the step can do without it, an empty one stands for None."""
    name, default, optional = parameter.name, parameter.default, parameter.annotation is not Path
    text = f"default: {default}"
    if name == "output":
        text = f"folder to write to; a former output there is replaced as a whole ({text})"
    parser.add_argument(
        f"--{name.replace('_', '-')}",
        dest=name,
        type=_optional_path if optional else Path,
        default=default,
        metavar="PATH",
        help=f"{text}; '' to leave it out" if optional else text,
    )


def _optional_path(text: str) -> Path | None:
    return Path(text) if text else None


def _read_paths(step: Step, params: Params, arguments: dict[str, Any]) -> dict[str, Path]:
    """The files and folders on this machine that the step reads, by their names in messages."""
    paths = {name: path for name, path in arguments.items() if isinstance(path, Path)}
    origin = arguments.get("origin")
    if step.__name__ == "prepare_data" and not (origin and origin.repo):
        paths |= {f"data.{name}": Path(path) for name in ("path", "unlabelled") if (path := getattr(params.data, name))}
    return paths


def _default_paths(step: Step) -> dict[str, Path]:
    parameters = inspect.signature(step).parameters.values()
    return {p.name: p.default for p in parameters if isinstance(p.default, Path)}
