"""Real servers on loopback for tests: S3 by SeaweedFS and MLflow's tracking server, each on free ports, each ended with its test."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions

from tests.components.stores import new_store

HOST = "127.0.0.1"
WAIT_SECONDS = 120


@dataclass(frozen=True)
class S3:
    """An S3 server's address, the one identity that it knows, and an empty file in the place of the user's settings of AWS."""

    url: str
    no_settings: Path
    key: str = "kdflow-test"
    secret: str = "not-a-secret-outside-this-test"

    def environment(self) -> dict[str, str]:
        """The variables that DVC, MLflow and boto3 read."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CONFIG_FILE": str(self.no_settings),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.no_settings),
            "MLFLOW_S3_ENDPOINT_URL": self.url,
            "NO_PROXY": HOST,
        }

    def client(self) -> Any:
        """A client of boto3."""
        keys = {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret}
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **keys)

    def make_bucket(self, name: str) -> None:
        self.client().create_bucket(Bucket=name)

    def keys(self, bucket: str) -> list[str]:
        """The names of all objects in a bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """A SeaweedFS server that keeps its files in `folder`."""
    folder.mkdir()
    parts = ("master", "volume", "filer", "s3")
    ports = free_ports(2 * len(parts))
    server = S3(f"http://{HOST}:{ports[parts.index('s3')]}", folder / "no settings")
    server.no_settings.touch()
    identity = {"name": "test", "credentials": [{"accessKey": server.key, "secretKey": server.secret}], "actions": ["Admin"]}
    (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
    command = [
        "weed", "server", f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}", "-s3", f"-s3.config={folder / 'identities.json'}",
        "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64", "-volume.max=50",
        "-volume.minFreeSpace=0", "-volume.preStopSeconds=0",
        f"-filer.localSocket={folder / 'filer.sock'}", f"-s3.localSocket={folder / 's3.sock'}",
        *(f"-{part}.port={port}" for part, port in zip(parts, ports, strict=False)),
        *(f"-{part}.port.grpc={port}" for part, port in zip(parts, ports[len(parts):], strict=True)),
    ]  # fmt: skip
    with running(command, folder / "log.txt", lambda: _makes_buckets(server)):
        yield server


@contextmanager
def mlflow_server(folder: Path, artifacts: str, environment: dict[str, str]) -> Iterator[str]:
    """MLflow's tracking server on a SQLite file in `folder`; it hands `artifacts` (an S3 address) through. Gives its URL."""
    folder.mkdir()
    new_store(folder)
    (port,) = free_ports(1)
    command = [
        sys.executable, "-m", "mlflow", "server", f"--host={HOST}", f"--port={port}", "--workers=1",
        f"--backend-store-uri=sqlite:///{folder / 'mlflow.db'}", f"--artifacts-destination={artifacts}",
    ]  # fmt: skip
    url = f"http://{HOST}:{port}"
    # its background jobs are seven more processes, and nothing here asks for one
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **environment}
    with running(command, folder / "log.txt", lambda: _answers(f"{url}/health"), environment):
        yield url


@contextmanager
def running(command: list[str], log: Path, ready: Callable[[], bool], environment: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server until the block ends; the block starts when `ready()`, and its failure tells what the server said."""
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        server = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}, start_new_session=True
        )
        stack.callback(_stop, server)
        deadline = time.monotonic() + WAIT_SECONDS
        while not ready():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on: all held at once, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and whatever it started: the session is its own."""
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


def _makes_buckets(server: S3) -> bool:
    """The port is open long before the first volume can be written to."""
    try:
        server.make_bucket("ready")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        return False
    return True
