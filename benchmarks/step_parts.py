"""Networks, a batch and a distillation as in a training, for benchmarks of single steps."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from components.distill_student.step import distill_config
from components.params.models import Detector, Params
from kd.data.anchors import COCO_ANCHORS
from kd.data.batch import Batch
from kd.data.dataset import DetectionData
from kd.detection.decode import flatten_heads
from kd.distillation.compute_maps import letterboxed_batches
from kd.distillation.map_generator import InfoMapGenerator
from kd.distillation.map_store import MapWriter, save_statistics
from kd.distillation.response_loss import teacher_detections
from kd.distillation.setup import Distillation, build_distillation
from kd.distillation.statistics import channel_statistics
from kd.model.build import Network
from kd.model.spec import ModelSpec, taps_at

OBJECTS = 4
"""In each picture of noise."""
CLASSES = tuple(str(digit) for digit in range(10))
METHOD = "activation"
"""Of the information maps."""


def synthetic_spec(section: Detector, size: int) -> ModelSpec:
    """The network of `section` for ten classes, with the anchors of COCO scaled to pictures of `size`."""
    anchors = {stride: [(w * size / 416, h * size / 416) for w, h in boxes] for stride, boxes in COCO_ANCHORS[section.architecture].items()}
    return ModelSpec(section.architecture, section.width, section.depth, CLASSES, anchors, size)


def synthetic_batch(size: int, pictures: int) -> Batch:
    """Noise with a few boxes in each picture."""
    source = torch.Generator().manual_seed(0)
    corners = torch.rand(pictures * OBJECTS, 2, generator=source) * size * 0.7
    boxes = torch.cat([corners, corners + size * (0.1 + 0.2 * torch.rand(pictures * OBJECTS, 2, generator=source))], dim=1)
    labels = torch.randint(len(CLASSES), (pictures * OBJECTS,), generator=source)
    batch_index = torch.arange(pictures).repeat_interleave(OBJECTS)
    return Batch(torch.rand(pictures, 3, size, size, generator=source), boxes, labels, batch_index, {})


def prepared_batch(data: Path, size: int, pictures: int) -> Batch:
    """The first `pictures` of the training split that prepare_data wrote to `data`, without augmentation."""
    batches = letterboxed_batches(DetectionData(data / "train", size), pictures, torch.device("cpu"), "read pictures")
    return next(iter(batches))


def with_maps(batch: Batch, teacher: Network, spec: ModelSpec, folder: Path) -> Batch:
    """The batch with the teacher's maps; writes them and the channel statistics to `folder`, as compute_info_maps does."""
    taps = taps_at(teacher.strides)
    statistics = channel_statistics(teacher, [batch.pictures], teacher.strides)
    maps = InfoMapGenerator(teacher, spec, METHOD, taps, statistics)(batch)
    save_statistics(folder, statistics)
    with MapWriter(folder, {tap: spec.image_size // tap.stride for tap in taps}, len(batch.pictures), {"method": METHOD}) as writer:
        writer.add(maps)
    return batch._replace(maps=maps)


def build_from_batch(
    params: Params,
    teacher: Network,
    teacher_spec: ModelSpec,
    student: Network,
    student_spec: ModelSpec,
    batch: Batch,
    autocast: torch.dtype | None,
) -> tuple[Distillation, Batch]:
    """A distillation as distill_student builds it, and the batch with its maps.

    Raises:
        InputError: if teacher and student have other classes or another image size.
    """
    with TemporaryDirectory() as name:
        batch = with_maps(batch, teacher, teacher_spec, Path(name))
        settings = distill_config(params)
        pictures = len(batch.pictures)
        distillation = build_distillation(
            teacher, teacher_spec, settings, Path(name), student, student_spec, pictures, autocast, params.seed
        )
    return distillation, batch


@torch.no_grad()
def detections_per_picture(teacher: Network, spec: ModelSpec, batch: Batch) -> float:
    """How many detections of the teacher the response loss takes from a picture, on average."""
    found = teacher_detections(flatten_heads(teacher(batch.pictures).heads, spec.anchors))
    return float(found.valid.sum() / len(batch.pictures))
