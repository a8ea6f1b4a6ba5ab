"""The commands `stop` and `retry`."""

import argparse
import sys
import time
from typing import TYPE_CHECKING

from components.runtime.execution import close_execution
from components.runtime.store import connect_to_mlflow, experiment_name, import_mlflow, tracking_uri
from components.runtime.text import mask_passwords, one_line
from kd.errors import InputError
from pipeline.cli import Commands, new_parser
from pipeline.release import add_server_options, connect_to_server
from pipeline.status import read_status

if TYPE_CHECKING:
    from pipeline.client import Client

PAUSE, MAX_POLLS = 5.0, 60
STOP_EXAMPLES = "  %(prog)s 7c1f0d1e-5d2c-4f1b-9a53-2b8f6f0c4a77"
RETRY_EXAMPLES = """  %(prog)s 7c1f0d1e-5d2c-4f1b-9a53-2b8f6f0c4a77

Steps that succeeded are not run again. A training resumes after its last epoch."""


def add_parser(commands: Commands) -> None:
    """Add both commands."""
    for name, summary, examples, run in (
        ("stop", "stop a run, and end its runs in MLflow", STOP_EXAMPLES, _stop),
        ("retry", "run the failed steps of a run again", RETRY_EXAMPLES, _retry),
    ):
        parser = new_parser(commands, name, summary, examples)
        parser.add_argument("run_id", metavar="RUN_ID", help="id of the run, as `submit` prints it")
        add_server_options(parser)
        parser.set_defaults(run=run)


def stop_run(client: "Client", run_id: str) -> str:
    """Stop a run, wait until it has ended, and end its runs in MLflow. Returns its state.

    Raises:
        InputError: if it has not ended after 5 minutes.
    """
    if not read_status(client, run_id, ()).has_ended:
        client.runs.run_service_terminate_run(run_id)
        _wait(client, run_id)
    state = read_status(client, run_id, ()).state
    _close_in_mlflow(run_id)
    return state


def _stop(options: argparse.Namespace) -> None:
    print(f"run {stop_run(connect_to_server(options), options.run_id)}")


def _wait(client: "Client", run_id: str) -> None:
    """Wait until the run has ended: until then, its steps may still write to MLflow."""
    for _ in range(MAX_POLLS):
        if read_status(client, run_id, ()).has_ended:
            return
        time.sleep(PAUSE)
    raise InputError(run_id, "has not ended yet", "run the same command again")


def _close_in_mlflow(run_id: str) -> None:
    uri = mask_passwords(tracking_uri())
    if not uri.startswith(("http://", "https://")):
        print("MLflow: not reached, its runs may stay RUNNING; set MLFLOW_TRACKING_URI to its server, and repeat this", file=sys.stderr)
        return
    import_mlflow()
    try:
        client = connect_to_mlflow()
        experiment = client.get_experiment_by_name(experiment_name())
        closed = close_execution(client, experiment.experiment_id, run_id) if experiment else 0
    except Exception as error:  # of the server or the network: the run is stopped all the same
        left = "its runs may stay RUNNING until you repeat this, or until the next run of the pipeline"
        print(f"MLflow: {uri} fails ({one_line(error)}): {left}", file=sys.stderr)
    else:
        print(f"MLflow: {closed} runs set to KILLED")


def _retry(options: argparse.Namespace) -> None:
    client = connect_to_server(options)
    client.runs.run_service_retry_run(options.run_id)
    print(f"run {options.run_id} goes on\n{client.link(f'runs/details/{options.run_id}')}")
