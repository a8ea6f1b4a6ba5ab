"""Real servers on loopback for tests. A server has its own ports; the test waits until it answers, and stops it at the end."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.components.stores import new_store

HOST = "127.0.0.1"
WAIT_SECONDS = 120


@contextmanager
def mlflow_server(
    folder: Path, artifacts: str = "", environment: dict[str, str] | None = None, options: Sequence[str] = ()
) -> Iterator[str]:
    """Run MLflow's tracking server on a sqlite file in the new folder `folder`, and yield its URL.

    Args:
        folder: the folder of its files.
        artifacts: the location of artifacts, a folder or an S3 URL (default: in `folder`).
        environment: additional environment variables.
        options: additional options of `mlflow server`.
    """
    folder.mkdir()
    new_store(folder)
    # no background jobs: they are seven more processes, which no test uses
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(environment or {})}
    with held_ports(1) as (port,):
        command = [
            sys.executable, "-m", "mlflow", "server", f"--host={HOST}", f"--port={port}", "--workers=1",
            f"--backend-store-uri=sqlite:///{folder / 'mlflow.db'}", f"--artifacts-destination={artifacts or folder / 'artifacts'}",
            *options,
        ]  # fmt: skip
        url = f"http://{HOST}:{port}"
        with running(command, folder, lambda: _answers(f"{url}/health"), settings):
            yield url


@contextmanager
def running(command: list[str], folder: Path, ready: Callable[[], bool], environment: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server in `folder` until the block ends. The block starts when `ready()`; if the server fails, the error has its output."""
    log = folder / "log.txt"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}  # those are for clients
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        server = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=inherited | (environment or {}), start_new_session=True
        )
        stack.callback(_stop, server)
        deadline = time.monotonic() + WAIT_SECONDS
        while not ready():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield


@contextmanager
def held_ports(count: int) -> Iterator[list[int]]:
    """Free ports. Until the block ends, the system does not assign them to others who ask for any free port."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # servers set it, too, and can then listen on the same port
            one.bind((HOST, 0))
        yield [one.getsockname()[1] for one in sockets]


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Stop the server and its child processes, which share a session."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal_number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(20)


def _answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
