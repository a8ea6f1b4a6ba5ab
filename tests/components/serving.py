"""Serve a packaged model over HTTP with `mlflow models serve`."""

import http.client
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.servers import HOST, held_ports, running

TIMEOUT = 600


class Server:
    """A served model at a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    def post(self, content: Any) -> tuple[int, Any]:
        """Post JSON; return the status and the content of the answer."""
        status, answer = self.post_text(json.dumps(content), "application/json")
        return status, json.loads(answer)

    def post_text(self, body: str | bytes, kind: str) -> tuple[int, str]:
        """Post a body of a content type; return the status and the answer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=TIMEOUT)
        connection.request("POST", "/invocations", body, {"Content-Type": kind})
        response = connection.getresponse()
        return response.status, response.read().decode()

    def answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def peak_megabytes(self) -> int:
        """The most memory that the process of the server has had."""
        [listening] = [one for one in psutil.Process().children(recursive=True) if self._listens(one)]
        return int(Path(f"/proc/{listening.pid}/status").read_text().split("VmHWM:")[1].split()[0]) // 1024

    def _listens(self, process: psutil.Process) -> bool:
        return any(one.laddr.port == self.port and one.status == psutil.CONN_LISTEN for one in process.net_connections())


@contextmanager
def serve(package: Path, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Serve `package` in the working folder `folder`, with additional environment variables."""
    with held_ports(1) as (port,):
        server = Server(port)
        options = ["--model-uri", str(package), "--env-manager", "local", "--host", HOST, "--port", str(port)]
        command = [sys.executable, "-m", "mlflow", "models", "serve", *options]
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # MLflow starts `uvicorn` by its name
        settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path, **(environment or {})}
        with running(command, folder, server.answers, settings):
            yield server
