"""Draws and stores the information maps of a whole split, a batch at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kd.data.dataset import DetectionData
from kd.data.loader import Batch, scoring_loader
from kd.data.square import Frame
from kd.distillation.cartographer import Cartographer, channel_statistics, tap_names
from kd.distillation.map_store import MapWriter, save_statistics
from kd.distillation.pairing import stride_of
from kd.model.build import Network
from kd.model.spec import ModelSpec
from kd.progress import Progress


def draw_maps(
    teacher: Network, spec: ModelSpec, data: DetectionData, reading: str, batch: int, folder: Path, about: dict[str, Any]
) -> None:
    """Write the maps of every picture of `data` at the teacher's taps, and the channels' statistics, to `folder`."""
    strides = teacher.strides
    device = next(teacher.parameters()).device
    teacher.eval()
    statistics = channel_statistics(teacher, (b.pictures for b in letterboxed(data, batch, device, "measure channels")), strides)
    save_statistics(folder, statistics)
    cartographer = Cartographer(teacher, spec, reading, strides, {tap: (m.to(device), d.to(device)) for tap, (m, d) in statistics.items()})
    shapes = {tap: spec.image_size // stride_of(tap) for tap in tap_names(strides)}
    with MapWriter(folder, shapes, len(data), {**about, "reading": reading}) as writer:
        for pictures in letterboxed(data, batch, device, "draw maps"):
            writer.add(cartographer(pictures))


def letterboxed(data: DetectionData, batch: int, device: torch.device, title: str) -> Iterator[Batch]:
    """The split's pictures with their boxes, unaugmented, in batches."""
    progress = Progress(title, len(data))
    start = 0
    for squares, frames in scoring_loader(data, batch):
        rows = [_row(data, start + i, i, Frame(*(value[i].item() for value in frames))) for i in range(len(squares))]
        boxes, labels, owners = (torch.cat(column) for column in zip(*rows, strict=True))
        yield Batch(squares.float() / 255, boxes, labels, owners, {}).to(device)
        start += len(squares)
        progress.advance(len(squares))
    progress.close()


def _row(data: DetectionData, index: int, position: int, frame: Frame) -> tuple[Tensor, Tensor, Tensor]:
    boxes, labels = data.objects(index)
    return frame.into(boxes), labels, torch.full_like(labels, position)
