"""The command `doctor`: one line per check, with the remedy of a fault."""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.params.load import load_params
from kd.errors import printable
from pipeline.cli import Commands, new_parser
from pipeline.cluster import Cluster, load_cluster
from pipeline.doctor.check import Check
from pipeline.release import add_server_options, connect_to_server
from pipeline.server_error import ServerError

STYLES = {"ok": "green", "warning": "yellow", "fault": "red", "unknown": "cyan"}
EXAMPLES = """  %(prog)s
  %(prog)s --data-repo https://git.example.com/team/pictures.git --data-rev main

Values of secrets are not shown. MLflow and the data are checked from this machine, with its environment.
exit codes: 0 no fault, 1 a fault, 2 wrong options or settings"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = new_parser(commands, "doctor", "check everything that a run on the cluster needs", EXAMPLES)
    parser.add_argument("--data-repo", default="", metavar="REPO", help="git repository with the data")
    parser.add_argument("--data-rev", default="", metavar="REV", help="its commit, tag or branch")
    add_server_options(parser)
    parser.set_defaults(run=_run)


def doctor_table(checks: Sequence[Check]) -> Table:
    """One row per check."""
    table = Table("check", "state", "detail", "remedy")
    for check in checks:
        table.add_row(*(escape(printable(cell)) for cell in check), style=STYLES[check.state])
    return table


def _run(options: argparse.Namespace) -> None:
    checks = _run_checks(options, load_cluster())
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(doctor_table(checks))
    else:
        print("\n".join(printable(f"{check.state:8}{check.name}: {'; '.join(filter(None, check[2:]))}") for check in checks))
    sys.exit(int(any(check.state == "fault" for check in checks)))


def _run_checks(options: argparse.Namespace, cluster: Cluster) -> list[Check]:
    from pipeline.doctor.kubernetes import check_kubernetes
    from pipeline.doctor.pod import check_data, check_mlflow, check_volume
    from pipeline.doctor.server import check_server

    namespace, params = options.namespace or cluster.namespace, load_params()
    try:
        checks = check_server(connect_to_server(options), namespace, cluster.service_account)
    except ServerError as error:
        checks = [Check("server", "fault", f"{error.args[0]} {error.args[1]}", error.args[2])]
    checks += [*check_kubernetes(cluster, namespace), check_volume(), check_mlflow(params.register_model.name)]
    return checks + check_data(params.data.path, options.data_repo, options.data_rev)
