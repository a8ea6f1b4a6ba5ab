"""The command `run`: the whole graph on this machine, without a cluster."""

import argparse
import logging
import os
import shutil
import sys
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.params.load import load_params
from components.params.models import Params
from kd.errors import InputError, fail
from kd.files import atomic_folder
from pipeline.cli import Commands, new_parser
from pipeline.console import ConsoleOutput, show_results

if TYPE_CHECKING:
    from pipeline.runners import Runner

ROOT = Path(".pipeline")
EXAMPLES = """  python -m pipeline run
  python -m pipeline run --set distill.weight=2 --export outputs
  python -m pipeline run --data-repo https://example.org/pictures.git --data-rev v2 --set data.path=data/mine
  python -m pipeline run --runner docker --image kdflow:COMMIT

A step whose parameters, data and code are unchanged is taken from the last run. A training that was killed goes on from its
last epoch. Everything is kept in .pipeline; delete it whenever you like."""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "run", "run the whole graph on this machine, without a cluster", EXAMPLES)
    parser.add_argument("--runner", choices=("subprocess", "docker"), default="subprocess", help="processes (default), or containers")
    parser.add_argument("--image", metavar="NAME", help="image of the containers")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change one parameter, as in seed=3")
    parser.add_argument("--data-repo", default="", metavar="REPO", help="git repository whose DVC tracks data.path (default: this folder)")
    parser.add_argument("--data-rev", default="", metavar="REV", help="commit, tag or branch of it (default: the newest commit)")
    parser.add_argument("--no-baseline", action="store_true", help="leave out the student without a teacher")
    parser.add_argument("--no-cache", action="store_true", help="run every step")
    parser.add_argument("--export", type=Path, metavar="DIR", help="copy each step's output to DIR/<step>, as dvc.yaml lays them out")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    os.environ.setdefault("KDFLOW_EXECUTION", f"pipeline run {uuid.uuid4().hex[:8]}")
    params = load_params(options.params, options.set)
    runner = _runner(options, params)
    console = ConsoleOutput(ROOT / "logs")
    given = {"data_repo": options.data_repo, "data_rev": options.data_rev, "train_baseline": not options.no_baseline}
    outputs = run_graph(runner, console, params, not options.no_cache, **given)
    if options.export:
        export(outputs, options.export)
    show_results(console.steps, {name: artifact.metadata.get("digest", "") for name, artifact in outputs.items()})


def run_graph(runner: "Runner", console: ConsoleOutput, params: Params, cached: bool = True, **given: Any) -> dict[str, Any]:
    """Run every step; returns the artifact of each by the step's name.

    Raises:
        SystemExit: if a step fails, with one line that says which, why, and where its log is; code 2 for wrong input.
    """
    from kfp import local

    from pipeline.graph import arguments, build

    local.init(runner.kfp, str(ROOT), enable_caching=cached, cache_root=str(ROOT / "cache" / runner.code[-16:]))
    with _narrated(console):
        try:
            done = build(fixed_image=runner.image)(**arguments(params, image=runner.image, **given))
        except Exception as error:  # kfp tells failed steps by RuntimeError, and a container that vanished by others
            console.flush()
            sys.exit(_failure(console, error))
    return dict(done.outputs)


def export(outputs: dict[str, Any], target: Path) -> None:
    """Copy each artifact to `target`/<step>, whole or not at all; a step that was left out leaves nothing."""
    for step, artifact in outputs.items():
        if artifact.metadata.get("digest"):
            with atomic_folder(target / step) as folder:
                shutil.copytree(artifact.path, folder, dirs_exist_ok=True)


def _runner(options: argparse.Namespace, params: Params) -> "Runner":
    from pipeline.runners import containers, processes

    if options.runner == "subprocess":
        return processes()
    if not options.image:
        raise InputError("--image", "is missing", "name the image of the containers, as `make image` prints it")
    repository = Path(options.data_repo)
    shared = [repository] if options.data_repo and repository.exists() else []
    return containers(options.image, ROOT, shared, "" if options.data_repo else params.data.path)


@contextmanager
def _narrated(console: ConsoleOutput) -> Iterator[None]:
    """Give the console all that kfp prints and logs, and to nobody its warnings of settings that mean nothing here."""
    root = logging.getLogger()
    handler, level = logging.StreamHandler(console), root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings(), redirect_stdout(console):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def _failure(console: ConsoleOutput, error: Exception) -> int:
    """Say what failed; returns the exit code."""
    step = console.current
    log = f"its log is {console.log(step)}"
    if console.error:
        return fail(f"{step}: {console.error} ({log})")
    if not step:
        raise error
    fail(f"{step}: failed or was killed; {log}; run the same command again to go on")
    return 1
