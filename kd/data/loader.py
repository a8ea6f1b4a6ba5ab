"""Batches. What a batch holds depends on (seed, epoch, position) alone, so a run can go on at any epoch, with any number of workers."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from kd.data.augment import AugmentConfig, color_jitter, place
from kd.data.dataset import DetectionData
from kd.data.letterbox import GREY, Letterbox
from kd.data.placement import warp, warp_boxes

if TYPE_CHECKING:
    from kd.model.spec import Tap

CACHE_BYTES = 2**29
"""Memory for decoded pictures in each process that loads."""


class Batch(NamedTuple):
    """What a training step reads.

    Attributes:
        pictures: float [B, 3, S, S] in 0..1.
        boxes: [M, 4] (x0, y0, x1, y1) in pixels of the square, of all pictures together.
        labels: [M] class indices.
        owners: [M] index of the picture in the batch that a box belongs to.
        maps: information maps [B, S / stride, S / stride] by tap; empty if none are used.
    """

    pictures: Tensor
    boxes: Tensor
    labels: Tensor
    batch_index: Tensor
    maps: "dict[Tap, Tensor]"

    def to(self, device: torch.device) -> "Batch":
        """The batch on `device`."""
        pictures, boxes, labels, batch_index = (t.to(device, non_blocking=True) for t in self[:4])
        return Batch(pictures, boxes, labels, batch_index, {tap: m.to(device, non_blocking=True) for tap, m in self.maps.items()})


class Sample(NamedTuple):
    """One picture of a batch."""

    picture: Tensor
    boxes: Tensor
    labels: Tensor
    maps: "dict[Tap, Tensor]"


class StoredMaps(Protocol):
    """Where a picture's stored information maps come from."""

    def __getitem__(self, index: int) -> "Mapping[Tap, Tensor]":
        """Maps [S / stride, S / stride] of picture `index` by tap."""
        ...


class TrainingDataset(Dataset[Sample]):
    """Augmented pictures; asked by (epoch, index).

    Decoding takes longer than augmenting, so the first squares that fit into `CACHE_BYTES` are kept.
    """

    def __init__(self, data: DetectionData, augment: AugmentConfig, epochs: int, seed: int, maps: StoredMaps | None = None) -> None:
        self.data, self.augment, self.epochs, self.seed, self.maps = data, augment, epochs, seed, maps
        self._cache: dict[int, tuple[Tensor, Letterbox]] = {}

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        rng = np.random.default_rng((self.seed, epoch, index))
        places = place(rng, self.augment.at(epoch, self.epochs), index, len(self.data))
        squares, boxes, labels = [], [], []
        for placement in places:
            square, frame = self._square(placement.source)
            squares.append(square.float() / 255)
            own_boxes, own_labels = self.data.objects(placement.source)
            moved, kept = warp_boxes(frame.to_square(own_boxes), placement, self.data.image_size)
            boxes.append(moved)
            labels.append(own_labels[kept])
        picture = color_jitter(rng, warp(squares, places, GREY), self.augment.color)
        stored = [self.maps[p.source] for p in places] if self.maps is not None else []
        maps = {tap: warp([m[tap][None] for m in stored], places, 0.0)[0] for tap in (stored[0] if stored else ())}
        return Sample(picture, torch.cat(boxes), torch.cat(labels), maps)

    def _square(self, index: int) -> tuple[Tensor, Letterbox]:
        if index in self._cache:
            return self._cache[index]
        found = self.data.square(index)
        if (len(self._cache) + 1) * found[0].nbytes <= CACHE_BYTES:
            self._cache[index] = found
        return found


class EpochBatchSampler(Sampler[list[tuple[int, int]]]):
    """The (epoch, index) pairs of each batch of one epoch; each of `world` processes takes its share of every batch."""

    def __init__(self, pictures: int, batch: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.pictures, self.batch, self.seed, self.rank, self.world = pictures, min(batch, pictures), seed, rank, world
        self.epoch = 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.pictures)
        for start in range(0, len(self) * self.batch, self.batch):
            yield [(self.epoch, int(i)) for i in order[start : start + self.batch][self.rank :: self.world]]

    def __len__(self) -> int:
        return self.pictures // self.batch


class ScoringDataset(Dataset[tuple[Tensor, Letterbox]]):
    """Pictures as they are, for scoring: uint8 [3, S, S], and where each lies in its square."""

    def __init__(self, data: DetectionData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Letterbox]:
        return self.data.square(index)


def collate(samples: list[Sample]) -> Batch:
    """Samples to a batch."""
    batch_index = torch.cat([torch.full((len(s.labels),), i) for i, s in enumerate(samples)])
    maps = {tap: torch.stack([s.maps[tap] for s in samples]) for tap in samples[0].maps}
    pictures = torch.stack([s.picture for s in samples])
    return Batch(pictures, torch.cat([s.boxes for s in samples]), torch.cat([s.labels for s in samples]), batch_index, maps)


def training_loader(samples: TrainingDataset, batches: EpochBatchSampler, workers: int = 0) -> DataLoader[Batch]:
    """A loader of training batches; set `batches.epoch` before each pass."""
    return DataLoader[Any](
        samples,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def scoring_loader(data: DetectionData, batch: int, workers: int = 0) -> DataLoader[tuple[Tensor, Letterbox]]:
    """A loader of uint8 [B, 3, S, S] and a `Frame` of three [B], in the order of the split."""
    return DataLoader(ScoringDataset(data), batch_size=batch, num_workers=workers)
