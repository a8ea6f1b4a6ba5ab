"""The command `compile`: the graph as the file that Kubeflow takes."""

import argparse
from itertools import dropwhile
from pathlib import Path
from tempfile import TemporaryDirectory

from components.params.load import load_params
from kd.files import atomic_file
from pipeline.cli import Commands, new_parser
from pipeline.cluster import Cluster, load_cluster

SPEC = Path(__file__).with_name("kdflow.yaml")
HEADER = "# Written by `python -m pipeline compile` from pipeline/*.py, pipeline/cluster.yaml and params.yaml.\n"
EXAMPLES = """  python -m pipeline compile
  python -m pipeline compile --image registry.example.org/kdflow@sha256:... --out kdflow.yaml"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "compile", "write the file that Kubeflow takes", EXAMPLES)
    parser.add_argument("--out", type=Path, default=SPEC, metavar="FILE", help="default: pipeline/kdflow.yaml, which is committed")
    parser.add_argument("--image", metavar="NAME@sha256:...", help="default image of the runs (default: that of pipeline/cluster.yaml)")
    parser.set_defaults(run=_run)


def compile_spec(out: Path, cluster: Cluster) -> None:
    """Write the compiled graph to `out`; the same bytes for the same settings and parameters."""
    from kfp.compiler import Compiler

    from pipeline.graph import arguments, build

    with TemporaryDirectory() as folder, atomic_file(out) as temporary:
        written = Path(folder) / "spec.yaml"  # Kubeflow's compiler takes the format from the name
        Compiler().compile(build(cluster), str(written), pipeline_parameters=arguments(load_params(), image=cluster.image))
        temporary.write_text(HEADER + _without_comments(written.read_text(encoding="utf-8")), encoding="utf-8")


def _without_comments(text: str) -> str:
    """The compiler begins with a summary whose order changes from process to process."""
    return "".join(dropwhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))


def _run(options: argparse.Namespace) -> None:
    compile_spec(options.out, load_cluster(image=options.image))
    print(f"written: {options.out}")
