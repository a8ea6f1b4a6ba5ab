"""The command `doctor`: one line per check, with the remedy of a fault."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.params.load import load_params
from kd.errors import InputError, printable
from pipeline.cli import Commands, new_parser
from pipeline.cluster import Cluster, load_cluster
from pipeline.doctor.check import Check, failed_check
from pipeline.release import add_server_options, connect_to_server
from pipeline.server_error import ServerError

STYLES = {"ok": "green", "warning": "yellow", "fault": "red", "unknown": "cyan"}
EXAMPLES = """  %(prog)s
  %(prog)s --data-repo https://git.example.com/team/pictures.git --data-rev main --in-cluster

Values of secrets are not shown. Without --in-cluster, MLflow and the data are checked from this machine, with its environment.
exit codes: 0 no fault, 1 a fault, 2 wrong options or settings"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "doctor", "check what a run on the cluster needs: the server, Kubernetes, MLflow and the data", EXAMPLES)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change one parameter, as in teacher.init=FILE")
    parser.add_argument("--data-repo", default="", metavar="REPO", help="git repository with the data (default: the one in cluster.yaml)")
    parser.add_argument("--data-rev", default="", metavar="REV", help="its commit, tag or branch")
    parser.add_argument(
        "--in-cluster", action="store_true", help="check MLflow, data and volume in a pod, with the environment of the steps"
    )
    parser.add_argument("--image", metavar="NAME@sha256:...", help="image of that pod (default: the one in pipeline/cluster.yaml)")
    add_server_options(parser)
    parser.set_defaults(run=_run)


def doctor_table(checks: Sequence[Check]) -> Table:
    """One row per check."""
    table = Table("check", "state", "detail", "remedy")
    for check in checks:
        table.add_row(*(escape(printable(cell)) for cell in check), style=STYLES[check.state])
    return table


def _run(options: argparse.Namespace) -> None:
    cluster = load_cluster(image=options.image)
    if options.in_cluster and not cluster.image:
        raise InputError("--in-cluster", "needs an image", "add --image NAME@sha256:..., or set image in pipeline/cluster.yaml")
    checks = _run_checks(options, cluster)
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(doctor_table(checks))
    else:
        print("\n".join(printable(f"{check.state:8}{check.name}: {'; '.join(filter(None, check[2:]))}") for check in checks))
    sys.exit(int(any(check.state == "fault" for check in checks)))


def _run_checks(options: argparse.Namespace, cluster: Cluster) -> list[Check]:
    from pipeline.doctor.kubernetes import check_kubernetes
    from pipeline.doctor.pod import check_pod
    from pipeline.doctor.server import check_server

    namespace, params = options.namespace or cluster.namespace, load_params(options.params, options.set)
    models = [name for name in (params.register_model.name, params.register_model.teacher) if name]
    data: dict[str, Any] = {"path": params.data.path, "unlabelled": params.data.unlabelled}
    arguments = data | {"models": models, "weights": [params.teacher.init, params.student.init]}
    repository = {"repo": options.data_repo or cluster.data_repo or "", "rev": options.data_rev or cluster.data_rev or ""}
    try:
        client = connect_to_server(options)
        checks = check_server(client, namespace, cluster.service_account)
    except ServerError as error:
        checks, client = [Check("server", "fault", f"{error.args[0]} {error.args[1]}", error.args[2])], None
    checks += check_kubernetes(cluster, namespace)
    if options.in_cluster and client:
        from pipeline.doctor.in_cluster import check_in_cluster

        try:
            return checks + check_in_cluster(client, cluster, namespace, **arguments, **repository)
        except ServerError as error:  # the other checks are worth to be seen
            return [*checks, failed_check("pod", "", error)]
    return checks + check_pod(**arguments, **repository)
