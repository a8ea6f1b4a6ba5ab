"""The command `run`: run all steps on this machine, without a cluster."""

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

from rich.console import Console

from components.params.load import load_params
from components.params.models import Params
from components.params.values import is_model_uri
from components.runtime.outputs import OUTPUTS, check_output
from kd.errors import InputError, fail
from kd.files import atomic_folder
from pipeline.cli import Commands, new_parser
from pipeline.console import ConsoleOutput, results_table
from pipeline.launch import is_skipped

if TYPE_CHECKING:
    from pipeline.runners import Runner

ROOT = Path(".pipeline")
EXAMPLES = """  %(prog)s
  %(prog)s --set distill.weight=2 --export outputs
  %(prog)s --data-repo https://example.org/pictures.git --data-rev v2 --set data.path=data/mine
  %(prog)s --runner docker --image kdflow:COMMIT

If parameters, data and code of a step are unchanged, its output is taken from the cache. A killed training resumes after its
last epoch. Outputs, logs and cache are in .pipeline, which can be deleted at any time."""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "run", "run all steps on this machine, without a cluster", EXAMPLES)
    parser.add_argument("--runner", choices=("subprocess", "docker"), default="subprocess", help="subprocesses (default), or containers")
    parser.add_argument("--image", metavar="NAME", help="image of the containers")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change one parameter, as in seed=3")
    parser.add_argument("--data-repo", default="", metavar="REPO", help="git repository with data.path in DVC (default: this folder)")
    parser.add_argument("--data-rev", default="", metavar="REV", help="commit, tag or branch of it (default: the newest commit)")
    parser.add_argument("--no-baseline", action="store_true", help="skip the student without a teacher")
    parser.add_argument("--no-cache", action="store_true", help="run every step, even if nothing changed")
    parser.add_argument("--export", type=Path, metavar="DIR", help="copy the output of each step to DIR/<step>, like dvc.yaml")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    os.environ.setdefault("KDFLOW_EXECUTION", f"pipeline run {uuid.uuid4().hex[:8]}")
    params = load_params(options.params, options.set)
    if options.export:
        read = {"data.path": params.data.path, "data.unlabelled": params.data.unlabelled}
        check_export(options.export, {} if options.data_repo else {name: Path(path) for name, path in read.items() if path})
    runner = _choose_runner(options, params)
    console = ConsoleOutput(ROOT / "logs")
    arguments = {"data_repo": options.data_repo, "data_rev": options.data_rev, "train_baseline": not options.no_baseline}
    outputs = run_pipeline(runner, console, params, not options.no_cache, **arguments)
    if options.export:
        export(outputs, options.export)
    digests = {name: artifact.metadata.get("digest", "") for name, artifact in outputs.items()}
    digests["evaluate"] = digests.pop("report")
    Console(highlight=False).print(results_table(console.steps, digests))


def run_pipeline(runner: "Runner", console: ConsoleOutput, params: Params, cached: bool = True, **arguments: Any) -> dict[str, Any]:
    """Run every step. Returns the output artifacts by step.

    Args:
        runner: where the tasks run.
        console: shows the progress.
        params: the parameters.
        cached: whether a step is skipped if nothing changed.
        arguments: passed to `pipeline.graph.pipeline_arguments`.

    Raises:
        SystemExit: if a step fails, with code 2 if its input is wrong, else 1; the error names the step and its log.
    """
    from kfp import local

    from pipeline.graph import build_pipeline, pipeline_arguments

    local.init(runner.kfp_runner, str(ROOT), enable_caching=cached, cache_root=str(ROOT / "cache" / runner.code_digest[-16:]))
    with _redirect_output(console):
        try:
            run = build_pipeline(fixed_image=runner.image)(**pipeline_arguments(params, image=runner.image, **arguments))
        except Exception as error:  # kfp raises RuntimeError for a failed step, and others if a container disappears
            console.flush()
            sys.exit(_report_failure(console, error))
    return dict(run.outputs)


def check_export(target: Path, inputs: dict[str, Path]) -> None:
    """Raise `InputError` before the run if `export` would replace anything but former outputs."""
    for step in OUTPUTS:
        if step != "compose_scenes":  # it makes the data that the pipeline reads
            check_output(step, target / step, inputs)


def export(outputs: dict[str, Any], target: Path) -> None:
    """Copy the output of each step to `target`/<step> atomically, except for skipped steps; the report is part of evaluate's."""
    for step, artifact in outputs.items():
        if step in OUTPUTS and not is_skipped(artifact):
            with atomic_folder(target / step) as folder:
                shutil.copytree(artifact.path, folder, dirs_exist_ok=True)
                if step == "evaluate":
                    shutil.copyfile(outputs["report"].path, folder / "report.html")


def _choose_runner(options: argparse.Namespace, params: Params) -> "Runner":
    from pipeline.runners import docker_runner, subprocess_runner

    if options.runner == "subprocess":
        return subprocess_runner()
    if not options.image:
        raise InputError("--image", "is missing", "name the image of the containers, as `make image` prints it")
    repository = Path(options.data_repo)
    mounted = [repository] if options.data_repo and repository.exists() else []
    weights = sorted({init for init in (params.teacher.init, params.student.init) if init and not is_model_uri(init)})
    folders = [params.data.path, *filter(None, [params.data.unlabelled])]
    return docker_runner(options.image, ROOT, mounted, [] if options.data_repo else [*folders, *weights])


@contextmanager
def _redirect_output(console: ConsoleOutput) -> Iterator[None]:
    """Redirect kfp's output and log messages to `console`, and suppress its warnings about settings that do not apply here."""
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


def _report_failure(console: ConsoleOutput, error: Exception) -> int:
    """Print which step failed. Returns the exit code."""
    step = console.current
    log = f"its log is {console.log(step)}"
    if console.error:
        return fail(f"{step}: {console.error} ({log})")
    if not step:
        raise error
    fail(f"{step}: failed or was killed; {log}; run the same command again to resume")
    return 1
