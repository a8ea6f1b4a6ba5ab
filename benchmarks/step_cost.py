"""The cost of a distillation step relative to its parts: the teacher's forward pass and a step of the baseline.

python -m benchmarks.step_cost --sizes 128 416 --rounds 15

Each round times the three one after the other, so that a slow moment of the machine affects all of them; medians are compared.
The distillation may cost at most 1.15 times its parts, including adapters, loss and maps. The teacher's forward pass is timed
with the network as it was trained; the distillation runs a frozen copy with folded normalization.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from benchmarks.machine import describe_machine
from components.distill_student.step import distill_config
from components.params.load import load_params
from components.params.models import Detector, Params
from kd.data.anchors import COCO_ANCHORS
from kd.data.batch import Batch
from kd.detection.loss import DetectionLoss
from kd.distillation.map_store import MapWriter, save_statistics
from kd.distillation.setup import Distillation, build_distillation
from kd.distillation.statistics import channel_statistics
from kd.model.build import Network, build_model
from kd.model.spec import ModelSpec, taps_at
from kd.train.config import TrainConfig
from kd.train.optimizer import build_optimizer

BOUND = 1.15
OBJECTS = 4
CLASSES = tuple(str(digit) for digit in range(10))
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Work = Callable[[], object]


def main(arguments: Sequence[str] | None = None, prog: str = "python -m benchmarks.step_cost") -> None:
    """Measure at each size and print a line for each."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 416], help="sides of the pictures (default: 128 416)")
    parser.add_argument("--rounds", type=int, default=15, help="times each part is timed (default: 15)")
    parser.add_argument("--batch", type=int, help="pictures a step (default: the student's)")
    options = parser.parse_args(arguments)
    params = load_params(options.params)
    batch = options.batch or params.student.train.batch
    dtype = TrainConfig(**params.student.train.model_dump(exclude={"fine_tune"})).autocast_dtype(DEVICE)
    print(f"{describe_machine()}; {dtype or torch.float32}, {batch} pictures a step")
    for size in options.sizes:
        forward, plain, distilled = measure(works(params, size, batch), options.rounds)
        ratio = distilled / (forward + plain)
        print(
            f"{size} px: teacher's forward {forward * 1e3:.0f} ms + student's step {plain * 1e3:.0f} ms, "
            f"distillation step {distilled * 1e3:.0f} ms: {ratio:.3f} of its parts ({'within' if ratio <= BOUND else 'ABOVE'} {BOUND})"
        )


def works(params: Params, size: int, batch_size: int) -> list[Work]:
    """The teacher's forward pass, a step of the baseline and a step of the distillation, on the same pictures and seed."""
    teacher_spec, student_spec = _spec(params.teacher, size), _spec(params.student, size)
    teacher = build_model(teacher_spec).to(DEVICE).to(memory_format=torch.channels_last).eval()
    config = TrainConfig(**params.student.train.model_dump(exclude={"fine_tune"}))
    autocast = config.autocast_dtype(DEVICE)
    batch = _batch(size, batch_size, teacher.strides)

    def student(distilled: bool) -> Work:
        network = build_model(student_spec).to(DEVICE)
        distillation = _distillation(teacher, teacher_spec, params, batch, network, student_spec, autocast) if distilled else None
        return _step(network, student_spec, distillation, batch, config)

    return [_forward(teacher, batch, autocast), student(False), student(True)]


def _distillation(
    teacher: Network,
    teacher_spec: ModelSpec,
    params: Params,
    batch: Batch,
    student: Network,
    student_spec: ModelSpec,
    autocast: torch.dtype | None,
) -> Distillation:
    """As distill_student builds it, from maps on disk that are replaced by those of `batch`."""
    taps, pictures = taps_at(teacher.strides), len(batch.pictures)
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_statistics(folder, channel_statistics(teacher, [batch.pictures], teacher.strides))
        with MapWriter(folder, {tap: teacher_spec.image_size // tap.stride for tap in taps}, pictures, {"method": "activation"}) as writer:
            writer.add(batch.maps)
        return build_distillation(teacher, teacher_spec, distill_config(params), folder, student, student_spec, pictures, autocast, 0)


def measure(parts: list[Work], rounds: int) -> list[float]:
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


def _forward(teacher: Network, batch: Batch, autocast: torch.dtype | None) -> Work:
    pictures = batch.pictures.to(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.no_grad(), torch.autocast(DEVICE.type, dtype=autocast, enabled=autocast is not None):
            teacher(pictures)

    return forward


def _step(network: Network, spec: ModelSpec, distillation: Distillation | None, batch: Batch, config: TrainConfig) -> Work:
    """A training step as in `kd.train.engine.train_one_epoch`, without average, check and progress."""
    trained = nn.ModuleList([network, *([distillation.loss] if distillation else [])]).to(memory_format=torch.channels_last).train()
    optimizer, criterion = build_optimizer(trained, config), DetectionLoss(spec.anchors, spec.image_size).to(DEVICE)
    autocast = config.autocast_dtype(DEVICE)
    batch = batch._replace(pictures=batch.pictures.to(memory_format=torch.channels_last))

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
        nn.utils.clip_grad_norm_(trained.parameters(), config.clip_norm)
        optimizer.step()

    return step


def _spec(section: Detector, size: int) -> ModelSpec:
    anchors = {stride: [(w * size / 416, h * size / 416) for w, h in boxes] for stride, boxes in COCO_ANCHORS[section.architecture].items()}
    return ModelSpec(section.architecture, section.width, section.depth, CLASSES, anchors, size)


def _batch(size: int, batch: int, strides: tuple[int, ...]) -> Batch:
    """Noise with a few boxes in each picture, and maps as the loader brings them."""
    source = torch.Generator().manual_seed(0)
    corners = torch.rand(batch * OBJECTS, 2, generator=source) * size * 0.7
    boxes = torch.cat([corners, corners + size * (0.1 + 0.2 * torch.rand(batch * OBJECTS, 2, generator=source))], dim=1)
    labels = torch.randint(len(CLASSES), (batch * OBJECTS,), generator=source)
    maps = {tap: torch.rand(batch, size // tap.stride, size // tap.stride, generator=source) for tap in taps_at(strides)}
    batch_index = torch.arange(batch).repeat_interleave(OBJECTS)
    return Batch(torch.rand(batch, 3, size, size, generator=source), boxes, labels, batch_index, maps).to(DEVICE)


if __name__ == "__main__":
    main()
