"""How fast a GPU trains the networks of the paper, and how well they use it. Prints JSON; a table goes to stderr.

kdflow benchmark gpu > gpu.json
kdflow benchmark gpu --device cpu --pictures 48 --minutes 0 # tries the benchmark without a GPU

Teacher, baseline and distillation train on synthetic pictures (JPEG, 640x480) with the loader, the augmentation and the settings of
--params, each with and without deterministic kernels. For each training, the JSON has

  pictures_per_second      with the loader, whose decoded pictures are cached
  ready_per_second         with batches that are in memory already: what the device could do
  gflops_per_picture       of convolutions and matrix products, forward and backward
  roof_share               of the rate that a large matrix product reaches on the same device
  idle_share               time without a kernel on the GPU, with the loader; null on a CPU
  sync_free                whether no step waits for the GPU; null on a CPU

The teacher is untrained, which does not change the cost: the losses have the same shapes whatever it finds.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any

import torch

from benchmarks.device_use import WARM_UP, count_flops, find_sync, idle_share, measure_roof, rate
from benchmarks.machine import describe_machine
from benchmarks.map_memory import compute_untrained_maps
from benchmarks.prepare_data import WRITERS, write_pictures
from benchmarks.training_loop import TrainingLoop, build_training_loop
from components.distill_student.step import distill_config
from components.params.load import load_params
from components.params.models import Params
from components.prepare_data.step import prepare_data
from components.runtime.tracking import NullRun
from components.shared.training import build_spec, train_config
from kd.data.augment import AugmentConfig
from kd.data.dataset import DetectionData
from kd.data.loader import TrainingDataset, training_loader
from kd.data.sampler import EpochBatchSampler
from kd.distillation.setup import Distillation, build_distillation
from kd.errors import InputError, clean_exit
from kd.files import atomic_folder, read_json
from kd.memory import free_memory_share
from kd.model.build import Network
from kd.model.distributed import init_distributed
from kd.model.spec import ModelSpec
from kd.model.store import load_model

TRAININGS = ("teacher", "baseline", "distillation")
CPU = (
    "teacher.width=0.0625",
    "teacher.depth=0.1",
    "student.width=0.0625",
    *(f"{section}.train.{change}" for section in ("teacher", "student") for change in ("precision=fp32", "batch=4")),
)
"""Changes of the parameters without a GPU."""
SIZES, ROOF_SIDES = {"cuda": 416, "cpu": 64}, {"cuda": 8192, "cpu": 512}
READY = 16
"""Batches that are kept in memory."""
COLUMNS = {
    "pictures_per_second": "pictures/s",
    "ready_per_second": "ready/s",
    "roof_share": "roof",
    "idle_share": "idle",
    "sync_free": "sync-free",
}
"""Fields of the JSON that are in the table, and their titles."""


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.gpu") -> None:
    """Measure every training, and print the JSON and a table.

    Raises:
        SystemExit: with code 2 without a GPU, unless the CPU is asked for.
    """
    options = _parser(prog).parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device", "is cuda, but torch finds no GPU", "run this on a machine with a GPU, or try it with --device cpu")
    device, size = torch.device(options.device), options.size or SIZES[options.device]
    with tempfile.TemporaryDirectory(prefix="kdflow-benchmark-", dir=options.folder) as name:
        deadline, folder = time.monotonic() + 60 * options.minutes, Path(name)
        params = prepare(options.params, folder, options.pictures, size, CPU if options.device == "cpu" else ())
        try:
            report = measure_trainings(params, folder, device, deadline)
        except torch.OutOfMemoryError:
            raise InputError("--params", "the memory of the GPU does not suffice for its train.batch", "lower it, or --size") from None
    print(json.dumps({"machine": describe_machine(), "image_size": size, **report}, indent=2))
    _print_table(report)


def prepare(file: Path, folder: Path, pictures: int, size: int, changes: Sequence[str]) -> Params:
    """Write synthetic data, an untrained teacher and its maps to `folder`; return the parameters for them."""
    source = folder / "source"
    changes = [f"data.path={source}", f"data.image_size={size}", "data.anchors=coco", "data.unlabelled=''", *changes]
    params = load_params(file, changes)
    source.mkdir()
    WRITERS["coco"](source, write_pictures(source / "images", pictures))
    with atomic_folder(folder / "prepared") as output:
        prepare_data(params, NullRun(), output=output)
    compute_untrained_maps(params, folder)
    return params


def measure_trainings(params: Params, folder: Path, device: torch.device, deadline: float) -> dict[str, Any]:
    """The roof, and the measurements of every training with deterministic kernels and without, until `deadline` (monotonic)."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    runs, rows = list(product((True, False), TRAININGS)), []
    with init_distributed(deterministic=False):
        roof = measure_roof(device, dtype, ROOF_SIDES[device.type])
    for number, (deterministic, name) in enumerate(runs):
        seconds = (deadline - time.monotonic()) / (len(runs) - number)
        with init_distributed(deterministic):
            row = measure_training(params, name, folder, device, roof, seconds)
        rows.append({"training": name, "deterministic": deterministic, **row})
    return {"roof_tflops": roof / 1e12, "roof_dtype": str(dtype).removeprefix("torch."), "trainings": rows}


def measure_training(params: Params, name: str, folder: Path, device: torch.device, roof: float, seconds: float) -> dict[str, Any]:
    """The fields of the JSON that are described above, in about `seconds`."""
    training = training_loop(params, name, folder, device)
    stored = training.distillation.stored_maps if training.distillation else None
    data = DetectionData(folder / "prepared" / "train", params.data.image_size)
    config, augment = training.state.config, AugmentConfig(**params.augment.model_dump())
    cache = free_memory_share() // 2 if config.cache else 0
    dataset = TrainingDataset(data, augment, config.epochs, params.seed, stored, cache=cache)
    batch_sampler = EpochBatchSampler(len(data), config.batch, params.seed)
    if len(batch_sampler) <= WARM_UP:
        raise InputError("--pictures", f"makes {len(batch_sampler)} batches, too few to measure", "give more pictures")
    loader, batch, epoch = training_loader(dataset, batch_sampler, config.workers), batch_sampler.size, training.epoch
    ready = list(islice(loader, READY))
    epoch(loader)  # fills the cache, and warms up
    flops = count_flops(epoch, ready[: WARM_UP + 1]) / batch
    with_loader = rate(epoch, loader, batch, device, seconds / 2)
    on_gpu = device.type == "cuda"
    return {
        "batch": batch,
        "dtype": str(training.state.autocast or torch.float32).removeprefix("torch."),
        "pictures_per_second": with_loader,
        "ready_per_second": rate(epoch, ready, batch, device, seconds / 6),
        "gflops_per_picture": flops / 1e9,
        "roof_share": flops * with_loader / roof,
        "idle_share": idle_share(epoch, loader, device) if on_gpu else None,
        "sync_free": _is_sync_free(training, ready) if on_gpu else None,
    }


def training_loop(params: Params, name: str, folder: Path, device: torch.device) -> TrainingLoop:
    """The training `name`, one of `TRAININGS`."""
    section = params.teacher if name == "teacher" else params.student
    spec = build_spec(section, read_json(folder / "prepared" / "summary.json"))
    config = train_config(section.train, fine_tune=False)
    distill = partial(_distill, params, folder, spec, config.autocast_dtype(device)) if name == "distillation" else None
    return build_training_loop(spec, config, device, distill)


def _distill(params: Params, folder: Path, spec: ModelSpec, dtype: torch.dtype | None, student: Network) -> Distillation:
    teacher, teacher_spec = load_model(folder / "teacher" / "model.safetensors")
    pictures, live = read_json(folder / "maps" / "index.json")["pictures"], params.distill.maps == "live"
    settings = distill_config(params)
    return build_distillation(teacher, teacher_spec, settings, folder / "maps", student, spec, pictures, dtype, params.seed, live=live)


def _is_sync_free(training: TrainingLoop, ready: list[Any]) -> bool:
    message = find_sync(training.epoch, ready)
    if message:
        print(f"warning: a step waits for the GPU: {message}", file=sys.stderr)
    return not message


def _print_table(report: dict[str, Any]) -> None:
    print(f"roof {report['roof_tflops']:.2f} TFLOP/s in {report['roof_dtype']}", file=sys.stderr)
    print(f"{'training':<14}{'deterministic':<14}{''.join(f'{title:>12}' for title in COLUMNS.values())}", file=sys.stderr)
    for row in report["trainings"]:
        cells = [f"{row[name]:.3g}" if type(row[name]) is float else str(row[name] if row[name] is not None else "-") for name in COLUMNS]
        print(f"{row['training']:<14}{row['deterministic']!s:<14}{''.join(f'{cell:>12}' for cell in cells)}", file=sys.stderr)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=SIZES, default="cuda", help="cpu takes tiny networks in float32 (default: cuda)")
    parser.add_argument("--minutes", type=float, default=10, help="time for everything, about (default: 10)")
    parser.add_argument("--params", type=Path, default=Path("examples/paper.yaml"), metavar="FILE", help="default: examples/paper.yaml")
    parser.add_argument("--pictures", type=int, default=3000, help="number of pictures, 70 %% of which are trained on (default: 3000)")
    parser.add_argument("--size", type=int, help="side of the pictures (default: 416; 64 on a CPU)")
    parser.add_argument("--folder", type=Path, help="folder for the data, which are deleted afterwards (default: a temporary folder)")
    return parser


if __name__ == "__main__":
    main()
