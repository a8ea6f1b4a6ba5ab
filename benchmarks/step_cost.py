"""The cost of a distillation step relative to its parts: the teacher's forward pass and a step of the baseline.

kdflow benchmark step_cost --teacher outputs/train_teacher --data outputs/prepare_data --sizes 416

A trained teacher is measured on prepared pictures at its own size. At the other sizes, an untrained one runs on noise, in which it
finds nothing. Each round times the three one after the other, so that a slow moment of the machine affects all of them; medians are
compared. The distillation may cost at most 1.15 times its parts, including adapters, loss and maps. The teacher's forward pass is
timed with the network as it was trained; the distillation runs a frozen copy with folded normalization.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.machine import describe_machine
from benchmarks.step_parts import build_from_batch, detections_per_picture, prepared_batch, synthetic_batch, synthetic_spec
from components.params.load import load_params
from components.params.models import Params
from components.shared.training import build_spec, train_config
from kd.data.batch import Batch
from kd.detection.loss import DetectionLoss
from kd.distillation.setup import Distillation
from kd.errors import clean_exit
from kd.files import read_json
from kd.model.build import Network, build_model
from kd.model.spec import ModelSpec
from kd.model.store import load_model
from kd.train.config import TrainConfig
from kd.train.optimizer import build_optimizer

BOUND = 1.15
TEACHER, DATA = Path("outputs/train_teacher"), Path("outputs/prepare_data")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Work = Callable[[], object]


class TeacherWithBatch(NamedTuple):
    """A teacher, and a batch with maps by it on its device."""

    teacher: Network
    teacher_spec: ModelSpec
    student_spec: ModelSpec
    batch: Batch


@clean_exit()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.step_cost") -> None:
    """Measure the trained teacher at its size, and an untrained one at each other size; print a line for each."""
    options = _parser(prog).parse_args(arguments)
    params = load_params(options.params)
    batch, config = options.batch or params.student.train.batch, train_config(params.student.train, fine_tune=False)
    print(f"{describe_machine()}; {config.autocast_dtype(DEVICE) or torch.float32}, {batch} pictures a step")
    folder = options.teacher or (TEACHER if TEACHER.exists() else None)
    if folder:
        case = trained_case(params, folder, options.data, batch)
        measure(f"{folder}, {case.teacher_spec.image_size} px", case, params, options.rounds)
    else:
        print(f"warning: {TEACHER} does not exist; an untrained teacher finds nothing, train one or give --teacher", file=sys.stderr)
    for size in options.sizes:
        if not folder or size != case.teacher_spec.image_size:
            measure(f"untrained, {size} px", untrained_case(params, size, batch), params, options.rounds)


def trained_case(params: Params, teacher: Path, data: Path, pictures: int) -> TeacherWithBatch:
    """The teacher in the folder `teacher`, and the first training pictures in `data`.

    Raises:
        InputError: if a file is missing or broken.
    """
    network, spec = load_model(teacher / "model.safetensors")
    student_spec = build_spec(params.student, read_json(data / "summary.json"))
    return TeacherWithBatch(_on_device(network), spec, student_spec, prepared_batch(data, spec.image_size, pictures).to(DEVICE))


def untrained_case(params: Params, size: int, pictures: int) -> TeacherWithBatch:
    """Random networks, and noise with random boxes."""
    teacher, student = (synthetic_spec(section, size) for section in (params.teacher, params.student))
    return TeacherWithBatch(_on_device(build_model(teacher)), teacher, student, synthetic_batch(size, pictures).to(DEVICE))


def measure(title: str, case: TeacherWithBatch, params: Params, rounds: int) -> None:
    """Time the parts and the distillation, and print the medians and their ratio."""
    found = detections_per_picture(case.teacher, case.teacher_spec, case.batch)
    forward, plain, distilled = median_seconds(timed_steps(case, params), rounds)
    ratio = distilled / (forward + plain)
    print(
        f"{title}: {found:.1f} detections a picture; teacher's forward {forward * 1e3:.0f} ms + student's step {plain * 1e3:.0f} ms, "
        f"distillation step {distilled * 1e3:.0f} ms: {ratio:.3f} of its parts ({'within' if ratio <= BOUND else 'ABOVE'} {BOUND})",
        flush=True,
    )


def timed_steps(case: TeacherWithBatch, params: Params) -> list[Work]:
    """The teacher's forward pass, a step of the baseline and a step of the distillation, on the same pictures and seed."""
    config = train_config(params.student.train, fine_tune=False)
    autocast = config.autocast_dtype(DEVICE)
    plain, student = (build_model(case.student_spec).to(DEVICE) for _ in range(2))
    distillation, batch = build_from_batch(params, case.teacher, case.teacher_spec, student, case.student_spec, case.batch, autocast)
    batch = batch._replace(pictures=batch.pictures.to(memory_format=torch.channels_last))
    return [
        _forward(case.teacher, batch, autocast),
        _step(plain, case.student_spec, None, batch, config),
        _step(student, case.student_spec, distillation, batch, config),
    ]


def median_seconds(parts: list[Work], rounds: int) -> list[float]:
    """The median seconds of each part over `rounds` rounds, after two that warm up."""
    seconds: list[list[float]] = [[] for _ in parts]
    for _ in range(rounds + 2):
        for part, times in zip(parts, seconds, strict=True):
            times.append(_timed(part))
    return [statistics.median(times[2:]) for times in seconds]


def _timed(part: Work) -> float:
    start = time.perf_counter()
    part()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _on_device(network: Network) -> Network:
    return network.to(DEVICE).to(memory_format=torch.channels_last).eval()


def _forward(teacher: Network, batch: Batch, autocast: torch.dtype | None) -> Work:
    def forward() -> None:
        with torch.no_grad(), torch.autocast(DEVICE.type, dtype=autocast, enabled=autocast is not None):
            teacher(batch.pictures)

    return forward


def _step(network: Network, spec: ModelSpec, distillation: Distillation | None, batch: Batch, config: TrainConfig) -> Work:
    """A training step as in `kd.train.engine.train_one_epoch`, without average, check and progress."""
    trained = nn.ModuleList([network, *([distillation.loss] if distillation else [])]).to(memory_format=torch.channels_last).train()
    optimizer, criterion = build_optimizer(trained, config), DetectionLoss(spec.anchors).to(DEVICE)
    autocast = config.autocast_dtype(DEVICE)

    def step() -> None:
        terms = {}
        with torch.autocast(DEVICE.type, dtype=autocast, enabled=autocast is not None):
            if distillation:
                with torch.no_grad():
                    teacher_output = distillation.teacher(batch.pictures, distillation.strides)
            output = network(batch.pictures)
            predictions = criterion.candidates(output.heads)
            if distillation:
                terms = distillation.loss(output, predictions, teacher_output, distillation.maps(batch, teacher_output), batch, 0.0)
        optimizer.zero_grad()
        torch.stack(list((criterion(predictions, batch) | terms).values())).sum().backward()
        for part in trained:
            nn.utils.clip_grad_norm_(list(part.parameters()), config.clip_norm)
        optimizer.step()

    return step


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="parameter file (default: params.yaml)")
    parser.add_argument("--teacher", type=Path, metavar="FOLDER", help=f"a trained teacher (default: {TEACHER}, if it exists)")
    parser.add_argument("--data", type=Path, default=DATA, metavar="FOLDER", help=f"what prepare_data wrote for it (default: {DATA})")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[128, 416], help="sides of noise for an untrained teacher (default: 128 416)"
    )
    parser.add_argument("--rounds", type=int, default=15, help="times each part is timed (default: 15)")
    parser.add_argument("--batch", type=int, help="pictures a step (default: the student's)")
    return parser


if __name__ == "__main__":
    main()
