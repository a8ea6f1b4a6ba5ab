"""New MLflow stores, quickly: making the tables takes longer than most tests. And a real server."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from components.tracking import quieten, store_uri

_FOLDER = tempfile.TemporaryDirectory()


def new_store(folder: Path) -> None:
    """Put an empty store where `components.tracking` looks for it in the working folder `folder`."""
    shutil.copyfile(_empty(), folder / "mlflow.db")


@cache
def _empty() -> Path:
    file = Path(_FOLDER.name) / "mlflow.db"
    quieten()  # whichever test comes first should not find this in its output
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


def records() -> dict[str, Run]:
    """The runs in the store of the working folder, by name."""
    client = MlflowClient(store_uri())
    experiment = client.get_experiment_by_name("kdflow")
    assert experiment
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A real `mlflow server` on sqlite that keeps everything in `folder`; its address."""
    new_store(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")} | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _wait(address: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        assert process.poll() is None, "the server has ended"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server does not answer")
