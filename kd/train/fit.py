"""From a prepared data set and settings to a trained network: everything a training needs, put together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from kd.data.augment import Augment
from kd.data.dataset import DetectionData
from kd.data.loader import EpochBatches, TrainingSamples, training_loader
from kd.detection.evaluate import Selection, score
from kd.detection.loss import DetectionLoss
from kd.distillation.cartographer import Cartographer
from kd.distillation.map_store import MapStore, load_statistics
from kd.distillation.pairing import pair_taps, stride_of
from kd.distillation.teaching import Distill, TapLoss, Teaching
from kd.errors import InputError
from kd.model.build import Network, build_model
from kd.model.frozen import frozen
from kd.model.spec import ModelSpec
from kd.train.group import Group
from kd.train.loop import Row, Trainer, Training
from kd.train.objective import Objective, arithmetic


@dataclass(frozen=True)
class Lesson:
    """What makes a training a distillation.

    Attributes:
        teacher: the trained network.
        spec: its spec.
        distill: the weights of the terms.
        maps: folder that compute_info_maps wrote.
        live: draw the maps anew on each augmented picture instead of warping the stored ones.
        tap_loss: makes the loss of each tap, instead of the one that `distill` names; other methods are compared by it.
        cartographer: the class that draws live maps.
    """

    teacher: Network
    spec: ModelSpec
    distill: Distill
    maps: Path
    live: bool = False
    tap_loss: TapLoss | None = None
    cartographer: type[Cartographer] = Cartographer


@dataclass(frozen=True)
class Fit:
    """What to train, on what, and how. `checkpoint` is the file that a killed run goes on from."""

    spec: ModelSpec
    data: Path
    training: Training
    augment: Augment
    seed: int
    checkpoint: Path
    title: str = "train"


def fit(job: Fit, group: Group, on_epoch: Callable[[Row], None], lesson: Lesson | None = None) -> tuple[Network, list[Row]]:
    """Train, or go on training, and return the averaged network and one row of numbers an epoch.

    Each row holds "epoch", the mean of every loss term, for a distillation "gradient_ratio", and every few epochs
    "val_map" and "val_map50" (0..1) if there is a val split.

    Raises:
        InputError: if the data, the maps or a checkpoint do not fit.
        TrainingDiverged: if a loss is not finite.
    """
    data, val = (DetectionData(job.data / split, job.spec.image_size) for split in ("train", "val"))
    network = build_model(job.spec, job.seed).to(group.device)
    teaching = _teaching(lesson, network, job, group) if lesson else None
    stored = MapStore(lesson.maps, list(teaching.losses), len(data)) if lesson and teaching and not lesson.live else None
    samples = TrainingSamples(data, job.augment, job.training.epochs, job.seed, stored)
    batches = EpochBatches(len(data), job.training.batch, job.seed, group.rank, group.world)
    detection = DetectionLoss(job.spec.anchors, job.spec.image_size)
    trainer = Trainer(
        objective=Objective(network, detection, teaching, arithmetic(job.training.precision, group.device)).to(group.device),
        loader=training_loader(samples, batches, job.training.workers),
        batches=batches,
        training=job.training,
        group=group,
        checkpoint=job.checkpoint,
        score=lambda average: _val_scores(average, job.spec, val),
        on_epoch=on_epoch,
        title=job.title,
    )
    return trainer.run(), trainer.history


def _teaching(lesson: Lesson, network: Network, job: Fit, group: Group) -> Teaching:
    """The distillation's terms; their adapters depend on the seed alone."""
    if lesson.spec.classes != job.spec.classes or lesson.spec.image_size != job.spec.image_size:
        raise InputError("teacher", "has other classes or another image size than the student", "train it on the same prepared data")
    teacher = frozen(lesson.teacher.to(group.device), arithmetic(job.training.precision, group.device))
    partners = pair_taps(network, teacher, lesson.distill.taps, lesson.distill.strides, job.spec.image_size)
    statistics = {tap: (mean.to(group.device), dev.to(group.device)) for tap, (mean, dev) in load_statistics(lesson.maps).items()}
    maps = None
    if lesson.live:
        strides = tuple(sorted({stride_of(tap) for tap in partners}))
        maps = lesson.cartographer(teacher, lesson.spec, MapStore(lesson.maps, [], None).about["reading"], strides, statistics)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(job.seed)
        return Teaching(teacher, lesson.spec, job.spec, lesson.distill, partners, statistics, maps, lesson.tap_loss)


def _val_scores(network: nn.Module, spec: ModelSpec, val: DetectionData) -> Row:
    if not len(val):
        return {}
    scores = score(network, spec.anchors, val, Selection())
    return {"val_map": scores.map, "val_map50": scores.map50}
