"""Serve a packaged model over HTTP with `mlflow models serve`."""

import http.client
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import HOST, held_ports, running

Post = Callable[[Any], tuple[int, Any]]


@contextmanager
def serve(package: Path, folder: Path) -> Iterator[Post]:
    """Serve `package` in the working folder `folder`. Gives a function that posts a request and returns its status and content."""
    with held_ports(1) as (port,):
        options = ["--model-uri", str(package), "--env-manager", "local", "--host", HOST, "--port", str(port)]
        command = [sys.executable, "-m", "mlflow", "models", "serve", *options]
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # MLflow starts `uvicorn` by its name
        with running(command, folder, lambda: _answers(port), {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path}):
            yield lambda content: _request(port, "POST", "/invocations", json.dumps(content))


def _request(port: int, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    return response.status, json.loads(content) if method == "POST" else content


def _answers(port: int) -> bool:
    try:
        return _request(port, "GET", "/ping")[0] == 200
    except OSError:
        return False
