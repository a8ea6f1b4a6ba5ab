"""What a distillation step costs against its parts: the teacher's forward and a step of the student alone.

python -m benchmarks.step_cost --sizes 128 416 --rounds 15

Each round times the three one after the other, so that a slower moment of the machine slows all of them; medians are
compared. The distillation may cost 1.15 times its parts: adapters, loss and maps have to fit into the rest. The teacher's
forward is that of the network as it was trained; the distillation runs a frozen copy, whose normalisation is folded.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.machine import describe_machine
from components.params import Network as Section
from components.params import Params, load_params
from kd.data.loader import Batch
from kd.detection.loss import DetectionLoss
from kd.distillation.cartographer import channel_statistics, tap_names
from kd.distillation.pairing import pair_taps, stride_of
from kd.distillation.teaching import Distill, Teaching
from kd.model.build import Network, build_model
from kd.model.darknet import COCO_ANCHORS
from kd.model.frozen import frozen
from kd.model.spec import ModelSpec
from kd.train.loop import Training, build_optimiser
from kd.train.objective import Objective, arithmetic

BOUND = 1.15
OBJECTS = 4
CLASSES = tuple(str(digit) for digit in range(10))
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Work = Callable[[], object]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure at each size and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_cost", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="parameter file (default: params.yaml)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 416], help="sides of the pictures (default: 128 416)")
    parser.add_argument("--rounds", type=int, default=15, help="times each part is timed (default: 15)")
    parser.add_argument("--batch", type=int, help="pictures a step (default: the student's)")
    options = parser.parse_args(arguments)
    params = load_params(options.params)
    batch = options.batch or params.student.train.batch
    print(f"{describe_machine()}; {arithmetic(params.student.train.precision, DEVICE) or torch.float32}, {batch} pictures a step")
    for size in options.sizes:
        forward, plain, distilled = measure(works(params, size, batch), options.rounds)
        ratio = distilled / (forward + plain)
        print(
            f"{size} px: teacher's forward {forward * 1e3:.0f} ms + student's step {plain * 1e3:.0f} ms, "
            f"distillation step {distilled * 1e3:.0f} ms: {ratio:.3f} of its parts ({'within' if ratio <= BOUND else 'ABOVE'} {BOUND})"
        )


def works(params: Params, size: int, batch: int) -> list[Work]:
    """The teacher's forward, a plain step and a distillation step, on the same pictures; weights depend on nothing but a seed."""
    teacher_spec, student_spec = _spec(params.teacher, size), _spec(params.student, size)
    teacher = build_model(teacher_spec).to(DEVICE).to(memory_format=torch.channels_last).eval()
    settings = params.distill.model_dump(exclude={"maps"})
    distill = Distill(**settings | {name: tuple(settings[name]) for name in ("taps", "strides")})
    pictures = _batch(size, batch, teacher.strides)
    statistics = channel_statistics(teacher, [pictures.pictures], teacher.strides)
    autocast = arithmetic(params.student.train.precision, DEVICE)

    def student(taught: bool) -> Work:
        network = build_model(student_spec).to(DEVICE)
        partners = pair_taps(network, teacher, distill.taps, distill.strides, size)
        teaching = Teaching(frozen(teacher, autocast), teacher_spec, student_spec, distill, partners, statistics) if taught else None
        objective = Objective(network, DetectionLoss(student_spec.anchors, size), teaching, autocast)
        return _step(objective.to(DEVICE).to(memory_format=torch.channels_last), pictures, Training(**params.student.train.model_dump()))

    return [_forward(teacher, pictures, autocast), student(False), student(True)]


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


def _step(objective: Objective, batch: Batch, training: Training) -> Work:
    optimiser = build_optimiser(objective.train(), training)

    def step() -> None:
        detection, taught = objective(batch, 0.0)
        optimiser.zero_grad()
        torch.stack(list((detection | taught).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), training.clip_norm)
        optimiser.step()

    return step


def _spec(section: Section, size: int) -> ModelSpec:
    anchors = {stride: [(w * size / 416, h * size / 416) for w, h in boxes] for stride, boxes in COCO_ANCHORS[section.architecture].items()}
    return ModelSpec(section.architecture, section.width, section.depth, CLASSES, anchors, size)


def _batch(size: int, batch: int, strides: tuple[int, ...]) -> Batch:
    """Noise with a few boxes in each picture, and maps as the loader brings them."""
    source = torch.Generator().manual_seed(0)
    corners = torch.rand(batch * OBJECTS, 2, generator=source) * size * 0.7
    boxes = torch.cat([corners, corners + size * (0.1 + 0.2 * torch.rand(batch * OBJECTS, 2, generator=source))], dim=1)
    labels = torch.randint(len(CLASSES), (batch * OBJECTS,), generator=source)
    cells = {tap: size // stride_of(tap) for tap in tap_names(strides)}
    maps = {tap: torch.rand(batch, side, side, generator=source) for tap, side in cells.items()}
    owners = torch.arange(batch).repeat_interleave(OBJECTS)
    return Batch(torch.rand(batch, 3, size, size, generator=source), boxes, labels, owners, maps).to(DEVICE)


if __name__ == "__main__":
    main()
