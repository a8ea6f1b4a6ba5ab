"""How much a busy neighbor slows a training down: pictures a second on a quiet machine, and beside a process that keeps one core busy.

kdflow benchmark contention --workers 0 2 --runs 5

Each run trains on the same pictures twice in a row, without and with the neighbor, and gives the ratio of the two rates. On two
cores the fair share is 0.75: the neighbor takes half of one. `OMP_WAIT_POLICY=ACTIVE` shows what spinning threads would do.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.machine import describe_machine
from benchmarks.map_memory import write_pictures
from benchmarks.training_loop import build_training_loop
from components.params.load import load_params
from components.prepare_data.step import prepare_data
from components.runtime.tracking import NullRun
from components.shared.training import build_spec
from kd.data.augment import AugmentConfig
from kd.data.dataset import DetectionData
from kd.data.loader import TrainingDataset, training_loader
from kd.data.sampler import EpochBatchSampler
from kd.files import read_json
from kd.model.spec import ModelSpec
from kd.train.config import TrainConfig

SIZE, BATCH, STEPS = 160, 32, 16
TARGET = 0.65
"""Lower bound of the median ratio on two cores."""


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.contention") -> None:
    """Measure with each number of workers, and print a line for each run and the medians."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="processes that load pictures (default: 0 2)")
    parser.add_argument("--runs", type=int, default=5, help="pairs of a quiet and a busy epoch (default: 5)")
    options = parser.parse_args(arguments)
    policy, load = os.environ["OMP_WAIT_POLICY"].lower(), os.getloadavg()[0]
    print(f"{describe_machine()}, {os.cpu_count()} processors, threads wait {policy}, load {load:.1f} before the start")
    print(f"yolov3-tiny at width 1, {SIZE} px, {BATCH * STEPS} pictures an epoch in batches of {BATCH}")
    print(f"{'workers':>7} {'run':>6} {'quiet':>7} {'busy':>7} {'ratio':>6}")
    with TemporaryDirectory() as name:
        data, spec = _prepare(Path(name))
        for workers in options.workers:
            measure(data, spec, workers, options.runs)


def measure(data: Path, spec: ModelSpec, workers: int, runs: int) -> None:
    """Train `runs` pairs of epochs after one that warms up, and print the rates in pictures a second."""
    epoch = _training(data, spec, workers)
    epoch()
    rows = []
    for run in range(1, runs + 1):
        quiet = epoch()
        with _neighbor():
            busy = epoch()
        rows.append((quiet, busy, busy / quiet))
        print(f"{workers:>7} {run:>6} {quiet:>7.1f} {busy:>7.1f} {rows[-1][2]:>6.2f}", flush=True)
    quiet, busy, ratio = (statistics.median(column) for column in zip(*rows, strict=True))
    reached = "reached" if ratio >= TARGET else "MISSED"
    print(f"{workers:>7} {'median':>6} {quiet:>7.1f} {busy:>7.1f} {ratio:>6.2f}  target {TARGET} {reached}", flush=True)


def _training(data: Path, spec: ModelSpec, workers: int) -> Callable[[], float]:
    """A function that trains one more epoch and returns its rate in pictures a second."""
    config = TrainConfig(epochs=1000, batch=BATCH, precision="fp32", workers=workers)
    training = build_training_loop(spec, config, torch.device("cpu"))
    pictures = DetectionData(data / "train", SIZE)
    batches = EpochBatchSampler(len(pictures), BATCH, 0)
    loader = training_loader(TrainingDataset(pictures, AugmentConfig(), config.epochs, 0), batches, workers)

    def epoch() -> float:
        start = time.perf_counter()
        training.epoch(loader, batches.epoch)
        batches.epoch += 1
        return len(batches) * BATCH / (time.perf_counter() - start)

    return epoch


def _prepare(folder: Path) -> tuple[Path, ModelSpec]:
    """Synthetic pictures, and the spec of the network for them."""
    write_pictures(folder / "source", BATCH * STEPS)
    changes = [f"data.path={folder / 'source'}", f"data.image_size={SIZE}", "data.anchors=coco", "student.width=1.0"]
    params = load_params(overrides=changes)
    prepare_data(params, NullRun(), output=folder / "prepared")
    return folder / "prepared", build_spec(params.student, read_json(folder / "prepared/summary.json"))


@contextmanager
def _neighbor() -> Iterator[None]:
    """A process that keeps one core busy meanwhile."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    main()
