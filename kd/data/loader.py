"""Batches. The content of a batch depends on (seed, epoch, position) only, so a training can resume at any epoch, with any number
of workers.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from kd.data.augment import AugmentConfig, color_jitter, sample_placements
from kd.data.dataset import DetectionData
from kd.data.letterbox import GREY, Letterbox
from kd.data.placement import warp, warp_boxes
from kd.errors import InputError

if TYPE_CHECKING:
    from kd.model.spec import Tap

T = TypeVar("T")
CACHE_BYTES = 2**29
"""Memory for decoded pictures in each process that loads."""


class Batch(NamedTuple):
    """What a training step reads.

    Attributes:
        pictures: float [B, 3, S, S] in 0..1.
        boxes: [M, 4] (x0, y0, x1, y1) in pixels of the square, of all pictures together.
        labels: [M] class indices.
        batch_index: [M] index in the batch of the picture that a box belongs to.
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
    """Stored information maps by picture."""

    def __getitem__(self, index: int) -> "Mapping[Tap, Tensor]":
        """Maps [S / stride, S / stride] of picture `index` by tap."""
        ...


class TrainingDataset(Dataset[Sample | InputError]):
    """Augmented pictures, indexed by (epoch, index).

    An error is returned, not raised: torch would replace an exception of a worker process by one of its own.
    Decoding takes longer than augmenting, so the first pictures that fit into `CACHE_BYTES` are cached.
    """

    def __init__(self, data: DetectionData, augment: AugmentConfig, epochs: int, seed: int, maps: StoredMaps | None = None) -> None:
        self.data, self.augment, self.epochs, self.seed, self.maps = data, augment, epochs, seed, maps
        self._cache: dict[int, tuple[Tensor, Letterbox]] = {}

    def __getitem__(self, key: tuple[int, int]) -> Sample | InputError:
        try:
            return self.sample(*key)
        except InputError as error:
            return error

    def sample(self, epoch: int, index: int) -> Sample:
        """The sample of picture `index` in `epoch`.

        Raises:
            InputError: if a picture cannot be decoded.
        """
        rng = np.random.default_rng((self.seed, epoch, index))
        placements = sample_placements(rng, self.augment.at(epoch, self.epochs), index, len(self.data))
        squares, boxes, labels = [], [], []
        for placement in placements:
            square, position = self._load(placement.source)
            squares.append(square.float() / 255)
            own_boxes, own_labels = self.data.objects(placement.source)
            moved, kept = warp_boxes(position.to_square(own_boxes), placement, self.data.image_size)
            boxes.append(moved)
            labels.append(own_labels[kept])
        picture = color_jitter(rng, warp(squares, placements, GREY), self.augment.color)
        stored = [self.maps[p.source] for p in placements] if self.maps is not None else []
        maps = {tap: warp([m[tap][None] for m in stored], placements, 0.0)[0] for tap in (stored[0] if stored else ())}
        return Sample(picture, torch.cat(boxes), torch.cat(labels), maps)

    def _load(self, index: int) -> tuple[Tensor, Letterbox]:
        if index in self._cache:
            return self._cache[index]
        loaded = self.data.letterboxed(index)
        if (len(self._cache) + 1) * loaded[0].nbytes <= CACHE_BYTES:
            self._cache[index] = loaded
        return loaded


class EpochBatchSampler(Sampler[list[tuple[int, int]]]):
    """The (epoch, index) pairs of each batch of one epoch; each of `world_size` processes takes an equal share of every batch.

    Raises:
        InputError: if the processes do not divide the batch, or there are fewer pictures than processes.
    """

    def __init__(self, pictures: int, batch: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        if batch % world_size:  # the mean of the gradients would weigh the pictures of a smaller share more
            raise InputError("train.batch", f"is {batch}, which {world_size} processes do not divide", "set it to a multiple of them")
        if pictures < world_size:
            problem = f"has {pictures} pictures, fewer than the {world_size} processes"
            raise InputError("the training split", problem, "add pictures, or start fewer processes")
        self.pictures, self.seed, self.rank, self.world_size = pictures, seed, rank, world_size
        self.batch = min(batch, pictures - pictures % world_size)
        self.epoch = 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.pictures)
        for start in range(0, len(self) * self.batch, self.batch):
            yield [(self.epoch, int(i)) for i in order[start : start + self.batch][self.rank :: self.world_size]]

    def __len__(self) -> int:
        return self.pictures // self.batch


class ScoringDataset(Dataset[tuple[Tensor, Letterbox] | InputError]):
    """Pictures without augmentation: uint8 [3, S, S], and the position of each in its square. Errors are returned, not raised."""

    def __init__(self, data: DetectionData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Letterbox] | InputError:
        try:
            return self.data.letterboxed(index)
        except InputError as error:
            return error


class CheckedLoader(DataLoader[T]):
    """A `DataLoader` that raises the errors of its workers unchanged, and explains how a worker died."""

    def __iter__(self) -> Iterator[T]:  # type: ignore[override]
        try:
            for batch in super().__iter__():
                if isinstance(batch, InputError):
                    raise batch
                yield batch
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            remedy = "lower train.workers, or give the process more memory and a larger /dev/shm (shared_memory in pipeline/cluster.yaml)"
            raise InputError("train.workers", f"a process that loads pictures died ({str(error).splitlines()[0]})", remedy) from error


def collate(samples: list[Sample | InputError]) -> Batch | InputError:
    """Samples to a batch, or the first error among them."""
    if error := _first_error(samples):
        return error
    valid = [sample for sample in samples if isinstance(sample, Sample)]
    batch_index = torch.cat([torch.full((len(s.labels),), i) for i, s in enumerate(valid)])
    maps = {tap: torch.stack([s.maps[tap] for s in valid]) for tap in valid[0].maps}
    pictures = torch.stack([s.picture for s in valid])
    return Batch(pictures, torch.cat([s.boxes for s in valid]), torch.cat([s.labels for s in valid]), batch_index, maps)


def training_loader(dataset: TrainingDataset, batch_sampler: EpochBatchSampler, workers: int = 0) -> DataLoader[Batch]:
    """A loader of training batches; set `batch_sampler.epoch` before each pass."""
    return CheckedLoader[Any](
        dataset,
        batch_sampler=batch_sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def scoring_loader(data: DetectionData, batch: int, workers: int = 0) -> DataLoader[tuple[Tensor, list[Letterbox]]]:
    """A loader of uint8 [B, 3, S, S] and the position of each picture in its square, in the order of the split."""
    return CheckedLoader[Any](ScoringDataset(data), batch_size=batch, num_workers=workers, collate_fn=_collate_scoring)


def _collate_scoring(items: list[tuple[Tensor, Letterbox] | InputError]) -> Any:
    if error := _first_error(items):
        return error
    squares, positions = zip(*items, strict=True)
    return torch.stack(squares), list(positions)


def _first_error(items: Iterable[object]) -> InputError | None:
    return next((item for item in items if isinstance(item, InputError)), None)
