"""Time, memory and files of a large dataset: prepare_data, compute_info_maps with a tiny teacher, and one epoch of loading.

kdflow benchmark scale --pictures 118000 --size 416 --workers 2

The dataset is that of `kdflow benchmark prepare_data` in COCO layout; 70 % of its pictures are trained on. Each part runs in a fresh
process, whose peak memory is printed, without that of its workers. Loading has the stored maps and the augmentation of params.yaml, but
no cache of decoded pictures, which takes memory on purpose. The growth of memory is that of the process and its workers from the first
tenth of the epoch to the last, without mapped files.
The disk must hold the pictures twice, 70 KB each, and the maps.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import describe_machine
from benchmarks.map_memory import TINY, compute_untrained_maps
from benchmarks.memory import peak_memory, private_memory
from benchmarks.prepare_data import WRITERS, write_pictures
from components.params.load import load_params
from components.params.models import Params
from components.prepare_data.step import prepare_data
from components.runtime.tracking import NullRun
from kd.data.augment import AugmentConfig
from kd.data.dataset import DetectionData
from kd.data.loader import TrainingDataset, training_loader
from kd.data.sampler import EpochBatchSampler
from kd.distillation.map_store import MapStore
from kd.errors import clean_exit
from kd.files import atomic_folder
from kd.model.spec import taps_at
from kd.progress import track

BATCH = 32
STRIDES = (8, 16, 32)
SAMPLES = 100
"""Times that the memory is read in an epoch."""
MAX_FILES = 300
MAX_GROWTH = 50e6
"""Bytes in an epoch that count as flat."""


class LoadedEpoch(NamedTuple):
    """An epoch of loading: number of pictures, seconds, and growth of memory in bytes."""

    pictures: int
    seconds: float
    growth: float


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.scale") -> None:
    """Measure each part and print a line for it."""
    options = _parser(prog).parse_args(arguments)
    if options.run:
        print(json.dumps(measure_here(options.run, options.folder, options.size, options.workers)))
        return
    with tempfile.TemporaryDirectory(prefix="kdflow-benchmark-", dir=options.folder) as name:
        folder = Path(name)
        (folder / "source").mkdir()
        WRITERS["coco"](folder / "source", write_pictures(folder / "source" / "images", options.pictures))
        print(f"{describe_machine()}; {options.pictures} pictures at {options.size} px, {options.workers} workers")
        print(f"{'part':<18} {'seconds':>8} {'peak MB':>8} {'files':>6}  result")
        for part in PARTS:
            found = _in_fresh_process(part, folder, options.size, options.workers)
            files = found.get("files", "")
            print(f"{part:<18} {found['seconds']:>8.1f} {found['peak'] / 1e6:>8.0f} {files:>6}  {assess(part, found)}", flush=True)


def measure_here(part: str, folder: Path, size: int, workers: int) -> dict[str, float]:
    """Run one part in this process on what the parts before it left in `folder`."""
    changes = [f"data.path={folder / 'source'}", f"data.image_size={size}", f"info_maps.workers={workers}", *TINY]
    params = load_params(overrides=changes)
    start = time.monotonic()
    found = PARTS[part](params, folder, workers)
    return {"seconds": time.monotonic() - start, "peak": peak_memory(), **found}


def assess(part: str, found: dict[str, float]) -> str:
    """The targets of a part, and whether they are reached."""
    if part == "prepare_data":
        return f"at most {MAX_FILES} files {_reached(found['files'] <= MAX_FILES)}"
    if part == "load":
        flat = f"memory grows by {found['growth'] / 1e6:.1f} MB (at most {MAX_GROWTH / 1e6:.0f} {_reached(found['growth'] <= MAX_GROWTH)})"
        return f"{found['pictures'] / found['loading']:.0f} pictures a second; {flat}"
    return ""


def _prepare(params: Params, folder: Path, workers: int) -> dict[str, float]:
    with atomic_folder(folder / "prepared") as output:
        prepare_data(params, NullRun(), output=output)
    return {"files": count_files(folder / "prepared")}


def _compute_maps(params: Params, folder: Path, workers: int) -> dict[str, float]:
    compute_untrained_maps(params, folder)
    return {"files": count_files(folder / "maps")}


def _load(params: Params, folder: Path, workers: int) -> dict[str, float]:
    data = DetectionData(folder / "prepared" / "train", params.data.image_size)
    maps = MapStore(folder / "maps", taps_at(STRIDES), len(data))
    found = load_epoch(data, maps, AugmentConfig(**params.augment.model_dump()), workers)
    return {"pictures": found.pictures, "loading": found.seconds, "growth": found.growth}


PARTS: dict[str, Callable[[Params, Path, int], dict[str, float]]] = {
    "prepare_data": _prepare,
    "compute_info_maps": _compute_maps,
    "load": _load,
}


def load_epoch(
    data: DetectionData, maps: MapStore, augment: AugmentConfig, workers: int, memory: Callable[[], float] = private_memory
) -> LoadedEpoch:
    """Load all batches of an epoch, and read `memory` meanwhile."""
    batches = EpochBatchSampler(len(data), BATCH, 0)
    loader = training_loader(TrainingDataset(data, augment, 1, 0, maps), batches, workers)
    every, samples = max(len(batches) // SAMPLES, 1), []
    start = time.monotonic()
    for index, _ in enumerate(track(loader, "load batches", len(batches), "batches")):
        if index % every == 0:
            samples.append(memory())
    seconds = time.monotonic() - start
    tenth = max(len(samples) // 10, 1)
    growth = statistics.median(samples[-tenth:]) - statistics.median(samples[:tenth])
    return LoadedEpoch(len(batches) * batches.size, seconds, growth)


def count_files(folder: Path) -> int:
    """The number of files in `folder` and below."""
    return sum(file.is_file() for file in folder.rglob("*"))


def _reached(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def _in_fresh_process(part: str, folder: Path, size: int, workers: int) -> dict[str, float]:
    options = ["--folder", str(folder), "--size", str(size), "--workers", str(workers), "--run", part]
    done = subprocess.run([sys.executable, "-m", "benchmarks.scale", *options], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)  # the process has reported its error
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=118_000, help="number of pictures (default: 118000)")
    parser.add_argument("--size", type=int, default=128, help="side of the networks' input (default: 128)")
    parser.add_argument("--workers", type=int, default=0, help="processes that load pictures (default: 0)")
    parser.add_argument("--folder", type=Path, help="folder for the data, which are deleted afterwards (default: a temporary folder)")
    parser.add_argument("--run", choices=PARTS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
