"""What loading a training picture costs on one core: samples a second, against decoding and resizing the same files.

kdflow benchmark loader --sizes 128 416 --mosaic 0 1

The pictures are synthetic JPEG files of 640x480 pixels, which prepare_data has prepared for each size. Nothing is cached, each sample
has the maps of six taps, and the two are timed in turns, so that a slow moment of the machine affects both. A sample is a picture of
a batch, ready for its device; what the device needs to augment it is timed apart, here on the CPU.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import torch

from benchmarks.machine import describe_machine
from benchmarks.prepare_data import WRITERS, write_pictures
from components.params.load import load_params
from components.prepare_data.step import prepare_data
from components.runtime.tracking import NullRun
from kd.data.augment import AugmentConfig
from kd.data.batch import LoadedBatch
from kd.data.dataset import DetectionData
from kd.data.loader import TrainingDataset
from kd.distillation.map_store import MapStore, MapWriter
from kd.model.spec import taps_at

T = TypeVar("T")
STRIDES = (8, 16, 32)
PREPARED = 600
"""Pictures in the data set, so that every class has boxes."""
BATCH = 32
TARGET = 1.25
"""Upper bound of the cost of a sample in units of decoding and resizing a picture."""


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.loader") -> None:
    """Measure at each size with each probability of a mosaic, and print a line for each."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 416], help="sides of the pictures (default: 128 416)")
    parser.add_argument("--mosaic", type=float, nargs="+", default=[0.0, 1.0], help="probabilities of a mosaic (default: 0 1)")
    parser.add_argument("--pictures", type=int, default=64, help="number of pictures that are timed (default: 64)")
    parser.add_argument("--rounds", type=int, default=5, help="times each is timed (default: 5)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(describe_machine())
    with TemporaryDirectory() as name:
        folder = Path(name)
        WRITERS["coco"](folder, write_pictures(folder / "images", PREPARED))
        for size in options.sizes:
            data, maps = _prepare(folder, size)
            for mosaic in options.mosaic:
                augment = AugmentConfig(mosaic=mosaic, flip=0.5, scale=0.3, translate=0.1, color=0.3)
                found = compare(data, TrainingDataset(data, augment, 1, 0, maps), options.pictures, options.rounds)
                print(f"{size} px, mosaic {mosaic:g}: {found}", flush=True)


def compare(data: DetectionData, dataset: TrainingDataset, pictures: int, rounds: int) -> str:
    """The rates in pictures a second, and the cost of a sample relative to decoding and resizing."""
    batches = [range(start, min(start + BATCH, pictures)) for start in range(0, pictures, BATCH)]

    def load(batch: range) -> LoadedBatch:
        loaded = dataset.collate([dataset.sample(0, index) for index in batch])
        assert isinstance(loaded, LoadedBatch)
        return loaded

    loaded = [load(batch) for batch in batches]
    rows = [
        (_seconds(data.letterboxed, range(pictures)), _seconds(load, batches), _seconds(LoadedBatch.augment, loaded)) for _ in range(rounds)
    ]
    letterboxed, sample, augment = (statistics.median(column) / pictures for column in zip(*rows, strict=True))
    reached = "reached" if sample / letterboxed <= TARGET else "MISSED"
    rates = f"decode and resize {1 / letterboxed:.0f}/s, sample {1 / sample:.0f}/s, augment {1 / augment:.0f}/s"
    return f"{rates}; a sample costs {sample / letterboxed:.2f} times as much as to decode and resize it (target {TARGET} {reached})"


def _seconds(work: Callable[[T], object], items: Sequence[T]) -> float:
    start = time.perf_counter()
    for item in items:
        work(item)
    return time.perf_counter() - start


def _prepare(folder: Path, size: int) -> tuple[DetectionData, MapStore]:
    """The training split for this size, and random maps for it."""
    changes = [f"data.path={folder}", f"data.image_size={size}", "data.anchors=coco"]
    prepare_data(load_params(overrides=changes), NullRun(), output=folder / f"prepared-{size}")
    data, maps = DetectionData(folder / f"prepared-{size}" / "train", size), folder / f"maps-{size}"
    maps.mkdir()
    taps, rng = taps_at(STRIDES), np.random.default_rng(0)
    with MapWriter(maps, {tap: size // tap.stride for tap in taps}, len(data), {}) as writer:
        for _ in range(len(data)):
            writer.add({tap: torch.from_numpy(rng.random((1, size // tap.stride, size // tap.stride))) for tap in taps})
    return data, MapStore(maps, taps, len(data))


if __name__ == "__main__":
    main()
