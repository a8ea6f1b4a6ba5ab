"""The command line `python -m pipeline`. Each command is a module with a function `add_parser`."""

import argparse
from collections.abc import Sequence

from kd.errors import handle_errors
from pipeline import compile, local, schedules, status, submit

COMMANDS = (compile, local, submit, schedules, status)
EXAMPLES = """
  python -m pipeline run                                  the whole graph on this machine, without a cluster
  python -m pipeline run --set distill.weight=2 --export outputs
  python -m pipeline compile --out kdflow.yaml            the file that Kubeflow takes
  python -m pipeline submit --wait                        one run on the cluster
  python -m pipeline schedule --cron "0 3 * * 1"          one every Monday at three
"""


@handle_errors
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="The steps of dvc.yaml as a pipeline for Kubeflow.",
        epilog=f"examples:{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    main()
