"""Computes and stores the information maps of the training pictures, one batch at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kd.data.batch import Batch
from kd.data.dataset import DetectionData
from kd.data.letterbox import Letterbox
from kd.data.loader import Workers, scoring_loader
from kd.distillation.map_generator import SHARED_METHODS, InfoMapGenerator
from kd.distillation.map_store import MapWriter, save_statistics
from kd.distillation.statistics import channel_statistics
from kd.model.build import Network
from kd.model.spec import ModelSpec, taps_at
from kd.progress import Progress


def write_info_maps(
    teacher: Network,
    spec: ModelSpec,
    data: DetectionData,
    method: str,
    batch_size: int,
    folder: Path,
    metadata: dict[str, Any],
    unlabelled: DetectionData | None = None,
    workers: Workers = 0,
) -> None:
    """Write the maps of every picture at all taps of the teacher, and the channel statistics, to `folder`.

    The maps of `data` come first, then those of the pictures without labels. The statistics are those of `data`.
    `workers` is the number of processes that load pictures.
    """
    device = next(teacher.parameters()).device
    taps = taps_at(teacher.strides)
    teacher.eval()
    pictures = (batch.pictures for batch in letterboxed_batches(data, batch_size, device, "channel statistics", workers))
    statistics = channel_statistics(teacher, pictures, teacher.strides)
    save_statistics(folder, statistics)
    generator = InfoMapGenerator(teacher, spec, method, taps, statistics)
    grid_sizes = {tap: spec.image_size // tap.stride for tap in taps}
    count = len(data) + len(unlabelled or ())
    with MapWriter(folder, grid_sizes, count, {**metadata, "method": method}, method in SHARED_METHODS) as writer:
        for batch in letterboxed_batches(data, batch_size, device, "information maps", workers):
            writer.add(generator(batch))
        if unlabelled:
            title = "information maps, pictures without labels"
            for batch in letterboxed_batches(unlabelled, batch_size, device, title, workers):
                writer.add(generator(batch._replace(unlabelled=len(batch.pictures))))


def letterboxed_batches(data: DetectionData, batch_size: int, device: torch.device, title: str, workers: Workers = 0) -> Iterator[Batch]:
    """The pictures of a split with their boxes, without augmentation; `title` is the progress bar's."""
    progress = Progress(title, len(data))
    start = 0
    for squares, positions in scoring_loader(data, batch_size, workers):
        rows = [_labels(data, start + i, i, position) for i, position in enumerate(positions)]
        boxes, labels, batch_index = (torch.cat(column) for column in zip(*rows, strict=True))
        yield Batch(squares.float() / 255, boxes, labels, batch_index, {}).to(device)
        start += len(squares)
        progress.advance(len(squares))
    progress.close()


def _labels(data: DetectionData, index: int, batch_index: int, position: Letterbox) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes in the square, labels and batch indices of the objects in picture `index`."""
    boxes, labels = data.objects(index)
    return position.to_square(boxes), labels, torch.full_like(labels, batch_index)
