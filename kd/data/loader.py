"""Batches. The content of a batch depends on (seed, epoch, position) only, so a training can resume at any epoch, with any number
of workers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kd.data.augment import AugmentConfig, sample_colors, sample_placements
from kd.data.batch import LoadedBatch
from kd.data.dataset import DetectionData
from kd.data.letterbox import Letterbox
from kd.data.placement import Placement, to_tensor, warp_boxes
from kd.data.sampler import EpochBatchSampler
from kd.errors import InputError

if TYPE_CHECKING:
    from kd.model.spec import Tap

T = TypeVar("T")
CACHE_BYTES = 2**29
"""Memory for decoded pictures in each process that loads."""


class Sample(NamedTuple):
    """One picture of a batch: the squares and maps that it is composed of, and how; and its boxes, which are augmented already."""

    squares: list[Tensor]
    placements: list[Placement]
    colors: Tensor
    boxes: Tensor
    labels: Tensor
    maps: "list[Mapping[Tap, Tensor]]"
    is_labelled: bool = True


class StoredMaps(Protocol):
    """Stored information maps by picture."""

    def __getitem__(self, index: int) -> "Mapping[Tap, Tensor]":
        """Maps [S / stride, S / stride] of picture `index` by tap."""
        ...


class TrainingDataset(Dataset[Sample | InputError]):
    """Pictures with a random augmentation each, indexed by (epoch, index).

    An error is returned, not raised: torch would replace an exception of a worker process by one of its own.
    Decoding takes longer than augmenting, so the first pictures that fit into `CACHE_BYTES` are cached.

    The pictures without labels, if there are any, have the indices after those with labels, also in the stored maps.
    """

    def __init__(
        self,
        data: DetectionData,
        augment: AugmentConfig,
        epochs: int,
        seed: int,
        maps: StoredMaps | None = None,
        unlabelled: DetectionData | None = None,
    ) -> None:
        self.data, self.augment, self.epochs, self.seed, self.maps, self.unlabelled = data, augment, epochs, seed, maps, unlabelled
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
        placements = sample_placements(rng, self.augment.at(epoch, self.epochs), index, self._same_kind(index))
        squares, boxes, labels = [], [], []
        for placement in placements:
            square, position = self._load(placement.source)
            squares.append(square)
            split, number = self._find(placement.source)
            own_boxes, own_labels = split.objects(number)
            moved, kept = warp_boxes(position.to_square(own_boxes), placement, self.data.image_size)
            boxes.append(moved)
            labels.append(own_labels[kept])
        colors = sample_colors(rng, self.augment)
        maps = [self.maps[placement.source] for placement in placements] if self.maps is not None else []
        return Sample(squares, placements, colors, torch.cat(boxes), torch.cat(labels), maps, index < len(self.data))

    def _same_kind(self, index: int) -> range:
        """The pictures for a mosaic with picture `index`: one of both kinds would have objects without labels."""
        labelled = len(self.data)
        return range(labelled) if index < labelled else range(labelled, labelled + len(self.unlabelled or ()))

    def _find(self, index: int) -> tuple[DetectionData, int]:
        """The split with picture `index`, and its index there."""
        own = index - len(self.data)
        return (self.unlabelled, own) if self.unlabelled and own >= 0 else (self.data, index)

    def _load(self, index: int) -> tuple[Tensor, Letterbox]:
        if index in self._cache:
            return self._cache[index]
        split, number = self._find(index)
        loaded = split.letterboxed(number)
        if (len(self._cache) + 1) * loaded[0].nbytes <= CACHE_BYTES:
            self._cache[index] = loaded
        return loaded


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


def collate(samples: list[Sample | InputError]) -> LoadedBatch | InputError:
    """Samples to a batch, or the first error among them."""
    if error := _first_error(samples):
        return error
    valid = [sample for sample in samples if isinstance(sample, Sample)]
    count = max(len(sample.squares) for sample in valid)
    squares = torch.stack([_stack(sample.squares, count) for sample in valid])
    placements = torch.stack([to_tensor(sample.placements, count) for sample in valid])
    maps = {tap: torch.stack([_stack([m[tap] for m in s.maps], count) for s in valid]) for tap in (valid[0].maps or [{}])[0]}
    colors = torch.stack([sample.colors for sample in valid])
    boxes, labels = (torch.cat(parts) for parts in zip(*((sample.boxes, sample.labels) for sample in valid), strict=True))
    batch_index = torch.cat([torch.full((len(sample.labels),), index) for index, sample in enumerate(valid)])
    return LoadedBatch(squares, placements, colors, boxes, labels, batch_index, maps, sum(not sample.is_labelled for sample in valid))


def _stack(tensors: Sequence[Tensor], count: int) -> Tensor:
    """The tensors in one, [count, ...]; missing ones are 0."""
    stacked = tensors[0].new_zeros((count, *tensors[0].shape))
    for index, tensor in enumerate(tensors):
        stacked[index] = tensor
    return stacked


def training_loader(dataset: TrainingDataset, batch_sampler: EpochBatchSampler, workers: int = 0) -> DataLoader[LoadedBatch]:
    """A loader of training batches; set `batch_sampler.epoch` before each pass."""
    return CheckedLoader[Any](
        dataset,
        batch_sampler=batch_sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def scoring_loader(
    data: DetectionData, batch: int, workers: int = 0, indices: Sequence[int] | None = None
) -> DataLoader[tuple[Tensor, list[Letterbox]]]:
    """A loader of uint8 [B, 3, S, S] and the position of each picture in its square, in the order of `indices`; None for all."""
    return CheckedLoader[Any](ScoringDataset(data), batch_size=batch, sampler=indices, num_workers=workers, collate_fn=_collate_scoring)


def _collate_scoring(items: list[tuple[Tensor, Letterbox] | InputError]) -> Any:
    if error := _first_error(items):
        return error
    squares, positions = zip(*items, strict=True)
    return torch.stack(squares), list(positions)


def _first_error(items: Iterable[object]) -> InputError | None:
    return next((item for item in items if isinstance(item, InputError)), None)
