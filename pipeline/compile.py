"""The command `compile`: compile the pipeline to YAML for Kubeflow Pipelines."""

import argparse
from itertools import dropwhile
from pathlib import Path
from tempfile import TemporaryDirectory

from components.params.load import load_params
from kd.files import atomic_file
from pipeline.cli import Commands, new_parser
from pipeline.cluster import Cluster, load_cluster

SPEC = Path(__file__).with_name("kdflow.yaml")
HEADER = "# Written by `kdflow pipeline compile` from pipeline/*.py, pipeline/cluster.yaml and params.yaml.\n"
EXAMPLES = """  %(prog)s
  %(prog)s --image registry.example.org/kdflow@sha256:... --out kdflow.yaml"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "compile", "compile the pipeline to YAML for Kubeflow Pipelines", EXAMPLES)
    parser.add_argument("--out", type=Path, default=SPEC, metavar="FILE", help="output file (default: the committed pipeline/kdflow.yaml)")
    parser.add_argument("--image", metavar="NAME@sha256:...", help="default image of the runs (default: the one in pipeline/cluster.yaml)")
    parser.set_defaults(run=_run)


def compile_spec(out: Path, cluster: Cluster) -> None:
    """Write the compiled pipeline to `out`. The same settings and parameters give the same bytes."""
    from kfp.compiler import Compiler

    from pipeline.graph import build_pipeline, pipeline_arguments

    with TemporaryDirectory() as folder, atomic_file(out) as temporary:
        compiled = Path(folder) / "spec.yaml"  # the compiler derives the format from the file's name
        defaults = pipeline_arguments(load_params(), cluster.data_repo or "", cluster.data_rev or "", image=cluster.image)
        Compiler().compile(build_pipeline(cluster), str(compiled), pipeline_parameters=defaults)
        temporary.write_text(HEADER + _remove_comments(compiled.read_text(encoding="utf-8")), encoding="utf-8")


def _remove_comments(text: str) -> str:
    """Remove the summary at the beginning: its order differs from process to process."""
    return "".join(dropwhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))


def _run(options: argparse.Namespace) -> None:
    compile_spec(options.out, load_cluster(image=options.image))
    print(f"written: {options.out}")
