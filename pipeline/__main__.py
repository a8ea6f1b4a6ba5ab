"""The command `kdflow pipeline`, also `python -m pipeline`. Each sub-command is added by a module's function `add_parser`."""

import argparse
from collections.abc import Sequence

from kd.errors import clean_exit
from pipeline import compile, control, local, logs, schedules, status, submit, watch
from pipeline.doctor import command as doctor

COMMANDS = (compile, local, submit, schedules, status, logs, control, watch, doctor)
EXAMPLES = """examples:
  %(prog)s run                                  run all steps on this machine, without a cluster
  %(prog)s run --set distill.weight=2 --export outputs
  %(prog)s compile --out kdflow.yaml            compile the pipeline for Kubeflow
  %(prog)s doctor                               check what a run on the cluster needs
  %(prog)s submit --wait                        run it once on the cluster
  %(prog)s schedule --cron "0 3 * * 1"          run it every Monday at 3:00"""


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m pipeline") -> None:
    """Parse the command line and run the sub-command."""
    parser = argparse.ArgumentParser(
        prog,
        description="Run the steps of dvc.yaml as a pipeline of Kubeflow Pipelines.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    options = parser.parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    main()
