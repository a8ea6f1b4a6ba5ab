"""Computes and stores the information maps of the training pictures, one batch at a time."""

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
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
from kd.model.distributed import SINGLE, Processes
from kd.model.spec import ModelSpec, Tap, taps_at
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
    processes: Processes = SINGLE,
) -> None:
    """Write the maps of every picture at all taps of the teacher, and the channel statistics, to `folder`.

    The maps of `data` come first, then those of the pictures without labels. The statistics are those of `data`.
    `workers` is the number of processes that load pictures. The `processes` share the batches; only the main process writes.

    Raises:
        InputError, OSError, SystemExit: as `Processes.together`.
    """
    device = next(teacher.parameters()).device
    taps = taps_at(teacher.strides)
    teacher.eval()
    pictures = (batch.pictures for batch in letterboxed_batches(data, batch_size, device, "channel statistics", workers, processes))
    statistics = channel_statistics(teacher, pictures, teacher.strides, processes)
    generator = InfoMapGenerator(teacher, spec, method, taps, statistics)
    grid_sizes = {tap: spec.image_size // tap.stride for tap in taps}
    count, metadata = len(data) + len(unlabelled or ()), {**metadata, "method": method}
    if processes.is_main:
        save_statistics(folder, statistics)
    with MapWriter(folder, grid_sizes, count, metadata, method in SHARED_METHODS) if processes.is_main else nullcontext() as writer:
        batches = letterboxed_batches(data, batch_size, device, "information maps", workers, processes)
        _write_in_turn(map(generator, batches), -(-len(data) // batch_size), writer, processes)
        if unlabelled:
            title = "information maps, pictures without labels"
            batches = letterboxed_batches(unlabelled, batch_size, device, title, workers, processes)
            maps = (generator(batch._replace(unlabelled=len(batch.pictures))) for batch in batches)
            _write_in_turn(maps, -(-len(unlabelled) // batch_size), writer, processes)


def _write_in_turn(own: Iterator[dict[Tap, Tensor]], batches: int, writer: MapWriter | None, processes: Processes) -> None:
    """Write the maps of a split, of which each process has its `own` batches of `batches`, in the order of the pictures.

    They are gathered in rounds of one batch for each process, so memory does not grow with the number of pictures.
    """
    gathered: list[dict[Tap, Tensor]] = []
    for _ in range(-(-batches // processes.world_size) + 1):  # one more, to write the last ones
        with processes.together():
            if writer:
                for maps in gathered:
                    writer.add(maps)
            next_maps = [{tap: values.cpu() for tap, values in maps.items()} for maps in islice(own, 1)]
        gathered = processes.gather(next_maps)


def letterboxed_batches(
    data: DetectionData, batch_size: int, device: torch.device, title: str, workers: Workers = 0, processes: Processes = SINGLE
) -> Iterator[Batch]:
    """This process's share of the batches of a split, with their boxes, without augmentation.

    `title` is that of the progress bar, which shows the share of the main process.
    """
    indices = processes.own_indices(len(data), batch_size)
    progress = Progress(title, len(indices), enabled=processes.is_main)
    left = iter(indices)
    for squares, positions in scoring_loader(data, batch_size, workers, indices):
        rows = [_labels(data, next(left), i, position) for i, position in enumerate(positions)]
        boxes, labels, batch_index = (torch.cat(column) for column in zip(*rows, strict=True))
        yield Batch(squares.float() / 255, boxes, labels, batch_index, {}).to(device)
        progress.advance(len(squares))
    progress.close()


def _labels(data: DetectionData, index: int, batch_index: int, position: Letterbox) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes in the square, labels and batch indices of the objects in picture `index`."""
    boxes, labels = data.objects(index)
    return position.to_square(boxes), labels, torch.full_like(labels, batch_index)
