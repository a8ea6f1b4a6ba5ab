"""How fast `mlflow models serve` answers with a trained model, compared with plain ONNX Runtime on the same pictures.

kdflow benchmark serving --model outputs/distill_student --data outputs/prepare_data

A request has one picture. Clients post from threads, each over one connection. Plain ONNX Runtime decodes and detects in as many threads
of this process, without HTTP. Both take turns, so that a slow moment of the machine affects both. The cold start is the time from the
start of the server to its first answer, and the memory the most that its process has had.
"""

import argparse
import base64
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import psutil

from benchmarks.machine import describe_machine
from components.params.load import load_params
from components.register_model.export import export_onnx
from components.register_model.mlflow_model import package
from components.register_model.served_model import OnnxDetector
from components.register_model.step import MODEL, deployed_settings
from kd.arguments import count
from kd.data import letterbox
from kd.data.dataset import DetectionData
from kd.detection.evaluate import NMSConfig
from kd.errors import InputError, clean_exit
from kd.model.store import load_model

HOST, WAIT_SECONDS = "127.0.0.1", 300
Client = Callable[[int], object]
"""Sends the picture of a number to be detected, and returns the answer."""


class Speed(NamedTuple):
    """Requests a second, and the median and 95th percentile of the milliseconds of a request."""

    rate: float
    median: float
    p95: float


class ModelServer(NamedTuple):
    """A running server: its port, the seconds of its cold start, and its process."""

    port: int
    cold_start: float
    process: psutil.Process

    def peak_megabytes(self) -> int:
        """The most memory that one of its processes has had, in MB (Linux only)."""
        return max(_peak_megabytes(one.pid) for one in [self.process, *self.process.children(recursive=True)])


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.serving") -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("outputs/distill_student"), metavar="FOLDER", help="trained (%(default)s)")
    parser.add_argument("--data", type=Path, default=Path("outputs/prepare_data"), metavar="FOLDER", help="prepared data (%(default)s)")
    parser.add_argument("--requests", type=count, default=100, help="requests of a round (default: 100)")
    parser.add_argument("--rounds", type=count, default=7, help="rounds, whose medians are printed (default: 7)")
    parser.add_argument("--concurrency", type=count, nargs="+", default=[1, 8], help="clients at once (default: 1 8)")
    parser.add_argument("--log", action="store_true", help="with KDFLOW_SERVING_LOG")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (%(default)s)")
    options = parser.parse_args(arguments)
    network, spec = load_model(options.model / MODEL)
    split, nms = DetectionData(options.data / "test", spec.image_size), deployed_settings(load_params(options.params))
    pictures = [split.open(index).read() for index in range(min(options.requests, len(split)))]
    print(f"{describe_machine()}; {os.cpu_count()} CPU cores; {options.rounds} rounds of {options.requests} requests, {spec.image_size} px")
    print("| | clients | requests/s | median ms | p95 ms |\n|---|---|---|---|---|")
    with TemporaryDirectory() as name:
        folder = Path(name)
        export_onnx(network, spec, folder / "student.onnx", nms)
        package(folder / "student.onnx", folder / "package")
        log = {"KDFLOW_SERVING_LOG": str(folder / "serving.jsonl")} if options.log else {}
        with serve(folder / "package", folder, pictures[0], log) as server:
            plain = plain_client(folder / "student.onnx", pictures, nms)
            clients = {"ONNX Runtime": lambda: plain, "server": lambda: http_client(server.port, pictures)}
            for number in options.concurrency:
                rounds = [[measure(new, options.requests, number) for new in clients.values()] for _ in range(options.rounds)]
                for kind, speeds in zip(clients, zip(*rounds, strict=True), strict=True):
                    rate, middle, high = (float(np.median(values)) for values in zip(*speeds, strict=True))
                    print(f"| {kind} | {number} | {rate:.0f} | {middle:.1f} | {high:.1f} |", flush=True)
            print(f"\ncold start {server.cold_start:.1f} s, peak memory {server.peak_megabytes()} MB")


def measure(new_client: Callable[[], Client], requests: int, clients: int) -> Speed:
    """The speed of `requests` calls by `clients` threads, after one call of each that is not measured."""

    def run(calls: Sequence[int]) -> list[float]:
        call, times = new_client(), []
        call(0)
        for index in calls:
            start = time.perf_counter()
            call(index)
            times.append(1000 * (time.perf_counter() - start))
        return times

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        times = [value for own in pool.map(run, [range(first, requests, clients) for first in range(clients)]) for value in own]
    rate = (requests + clients) / (time.perf_counter() - start)
    return Speed(rate, float(np.median(times)), float(np.percentile(times, 95)))


def plain_client(exported: Path, pictures: Sequence[bytes], nms: NMSConfig) -> Client:
    """A client that decodes and detects in this process."""
    detector = OnnxDetector(exported, letterbox)
    return lambda index: detector([pictures[index % len(pictures)]], nms.confidence, nms.nms_iou, nms.max_detections)


def http_client(port: int, pictures: Sequence[bytes]) -> Client:
    """A client with a connection of its own.

    Raises:
        InputError: when it is called, if the server does not answer with detections.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=WAIT_SECONDS)

    def call(index: int) -> object:
        body = json.dumps({"inputs": [base64.b64encode(pictures[index % len(pictures)]).decode()]})
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise InputError("server", f"answers {response.status}: {content[:200]!r}", "look at its output")
        return json.loads(content)

    return call


@contextmanager
def serve(packaged: Path, folder: Path, picture: bytes, environment: dict[str, str]) -> Iterator[ModelServer]:
    """Start `mlflow models serve` and wait for its first answer; stop it at the end.

    Raises:
        InputError: if it does not start.
    """
    port, log = _free_port(), folder / "server.txt"
    options = ["--model-uri", str(packaged), "--env-manager", "local", "--host", HOST, "--port", str(port)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # MLflow starts `uvicorn` by its name
    start = time.perf_counter()
    with log.open("wb") as output:
        command = [sys.executable, "-m", "mlflow", "models", "serve", *options]
        started = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "PATH": path, **environment})
    process = psutil.Process(started.pid)
    try:
        while not _answers(port, picture):
            if started.poll() is not None or time.perf_counter() - start > WAIT_SECONDS:
                raise InputError("mlflow models serve", f"does not start: {log.read_text()[-500:]}", "repair what it names")
            time.sleep(0.05)
        yield ModelServer(port, time.perf_counter() - start, process)
    finally:
        for one in [*process.children(recursive=True), process] if process.is_running() else []:
            one.terminate()
        started.wait(30)


def _answers(port: int, picture: bytes) -> bool:
    try:
        return bool(http_client(port, [picture])(0))
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def _peak_megabytes(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/status").read_text().split("VmHWM:")[1].split()[0]) // 1024


if __name__ == "__main__":
    main()
