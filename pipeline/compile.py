"""The command `compile`: the graph as the file that Kubeflow takes."""

import argparse
from pathlib import Path

from components.params import load_params
from kd.files import atomic_file
from pipeline.cli import Commands, new_parser
from pipeline.cluster import Cluster, load_cluster

SPEC = Path(__file__).with_name("kdflow.yaml")
EXAMPLES = """  python -m pipeline compile
  python -m pipeline compile --image registry.example.org/kdflow@sha256:... --out kdflow.yaml"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "compile", "write the file that Kubeflow takes", EXAMPLES)
    parser.add_argument("--out", type=Path, default=SPEC, metavar="FILE", help="default: pipeline/kdflow.yaml, which is committed")
    parser.set_defaults(run=_run)


def compile_spec(out: Path, cluster: Cluster) -> None:
    """Write the compiled graph to `out`; the same bytes for the same settings and parameters."""
    from kfp.compiler import Compiler

    from pipeline.graph import arguments, build

    with atomic_file(out) as temporary:
        written = temporary.with_suffix(".yaml")
        Compiler().compile(build(cluster), str(written), pipeline_parameters=arguments(load_params(), image=cluster.image or ""))
        written.replace(temporary)


def _run(options: argparse.Namespace) -> None:
    compile_spec(options.out, load_cluster())
    print(f"{options.out}: written")
