"""The command `run`: the whole graph on this machine, without a cluster."""

import argparse
import os
import uuid
import warnings
from pathlib import Path

from components.params import load_params
from pipeline.cli import Commands, new_parser

EXAMPLES = """  python -m pipeline run
  python -m pipeline run --set distill.weight=2 --export outputs
  python -m pipeline run --data-repo https://example.org/data.git --data-rev v2
  python -m pipeline run --runner docker --image kdflow:dev"""
ROOT = Path(".pipeline")


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "run", "run the whole graph on this machine, without a cluster", EXAMPLES)
    parser.add_argument("--runner", choices=("subprocess", "docker"), default="subprocess")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--data-repo", default="")
    parser.add_argument("--data-rev", default="")
    parser.add_argument("--export", type=Path)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from kfp import local

    from pipeline.graph import arguments, build

    warnings.filterwarnings("ignore", category=RuntimeWarning, module="kfp")
    params = load_params(options.params, options.set)
    os.environ.setdefault("KDFLOW_EXECUTION", f"pipeline run {uuid.uuid4().hex[:8]}")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(ROOT), enable_caching=True)
    build()(**arguments(params, options.data_repo, options.data_rev, image="kdflow"))
