"""Samples to a batch, and how each of its pictures is augmented.

The pictures of a mosaic are in the same batch, so that an epoch decodes every picture once.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from kd.data.augment import AugmentConfig, sample_colors, sample_placements
from kd.data.batch import LoadedBatch
from kd.data.letterbox import Letterbox
from kd.data.placement import MOSAIC_PICTURES, source_squares, to_tensor, warp_boxes
from kd.data.streams import AUGMENTATION, generator

if TYPE_CHECKING:
    from kd.model.spec import Tap


class Sample(NamedTuple):
    """One picture before it is augmented.

    Attributes:
        key: epoch, from 0, or pass over the pictures without labels, and index of the picture in the data set.
        letterboxed: uint8 [3, S, S], the picture in its square.
        position: of the picture in its square.
        boxes: [M, 4] (x0, y0, x1, y1) in the picture's own pixels.
        labels: [M] class indices.
        is_labelled: whether the picture has labels; if not, what is outside of its boxes is not background.
    """

    key: tuple[int, int]
    letterboxed: Tensor
    position: Letterbox
    boxes: Tensor
    labels: Tensor
    is_labelled: bool = True


def collate(samples: Sequence[Sample], maps: "Mapping[Tap, Tensor]", augment: AugmentConfig, seed: int) -> LoadedBatch:
    """A batch of `samples`, those with labels first, and their information maps [B, S / stride, S / stride] by tap.

    What happens to a picture depends on `seed`, its epoch and index, and for a mosaic on its neighbors in the batch.
    """
    labelled = sum(sample.is_labelled for sample in samples)
    groups = mosaic_groups(range(labelled)) + mosaic_groups(range(labelled, len(samples)))
    slots, order = first_occurrences(groups), source_squares(MOSAIC_PICTURES, MOSAIC_PICTURES).tolist()
    generators = [generator(seed, AUGMENTATION, *sample.key) for sample in samples]
    drawn = [sample_placements(rng, augment, _mosaic(groups, slot, order)) for rng, slot in zip(generators, slots, strict=True)]
    count = max(map(len, drawn))
    sources = torch.tensor([[p.source for p in row] + [row[0].source] * (count - len(row)) for row in drawn])
    placements = torch.stack([to_tensor(row, count) for row in drawn])
    colors = torch.stack([sample_colors(rng, augment) for rng in generators])
    moved = _move_objects(samples, sources, placements)
    # pictures are decoded with the channels last, and copied as they are; the device changes their order
    squares = torch.stack([sample.letterboxed.permute(1, 2, 0) for sample in samples]).permute(0, 3, 1, 2)
    unlabelled = len(samples) - labelled
    return LoadedBatch(squares, torch.tensor(groups), torch.tensor(slots), placements, colors, *moved, dict(maps), unlabelled)


def mosaic_groups(positions: range) -> list[list[int]]:
    """The groups of four positions in a row; the last one repeats its positions if fewer are left."""
    starts = range(0, len(positions), MOSAIC_PICTURES)
    groups = [positions[start : start + MOSAIC_PICTURES] for start in starts]
    return [[group[k % len(group)] for k in range(MOSAIC_PICTURES)] for group in groups]


def first_occurrences(groups: list[list[int]]) -> list[int]:
    """For each position, the index of its first occurrence in the flattened groups."""
    slots: dict[int, int] = {}
    for slot, position in enumerate(chain(*groups)):
        slots.setdefault(position, slot)
    return [slots[position] for position in sorted(slots)]


def _mosaic(groups: list[list[int]], slot: int, order: list[list[int]]) -> list[int]:
    """The pictures that a mosaic of the picture in `slot` is composed of; `order` is that of `source_squares`."""
    group, own = divmod(slot, MOSAIC_PICTURES)
    return [groups[group][square] for square in order[own]]


def _move_objects(samples: Sequence[Sample], sources: Tensor, placements: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, labels and batch indices of the objects in the augmented pictures."""
    counts = torch.tensor([len(sample.labels) for sample in samples])
    scale, left, top = torch.tensor([sample.position for sample in samples]).repeat_interleave(counts, dim=0).T[..., None]
    boxes = torch.cat([sample.boxes for sample in samples]) * scale + torch.cat([left, top, left, top], dim=1)
    labels = torch.cat([sample.labels for sample in samples])
    starts, copied = counts.cumsum(0) - counts, counts[sources.flatten()]
    destination = torch.arange(sources.numel()).repeat_interleave(copied)  # which square of the batch an object is copied to
    within = torch.arange(len(destination)) - (copied.cumsum(0) - copied)[destination]
    objects = starts[sources.flatten()][destination] + within
    moved, kept = warp_boxes(boxes[objects], placements.flatten(0, 1)[destination], samples[0].letterboxed.shape[-1])
    return moved, labels[objects[kept]], destination[kept] // sources.shape[1]
