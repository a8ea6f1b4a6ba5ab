"""Loaders of pictures. The content of a training batch depends on seed, epoch and position only, so a training can resume at any epoch,
with any number of workers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kd.data.augment import AugmentConfig
from kd.data.batch import LoadedBatch
from kd.data.cache import SquareCache
from kd.data.collate import Sample, collate
from kd.data.dataset import DetectionData
from kd.data.letterbox import Letterbox
from kd.data.sampler import EpochBatchSampler
from kd.errors import InputError
from kd.threads import processor_share

if TYPE_CHECKING:
    from kd.model.spec import Tap

T = TypeVar("T")
WORKER_PARAMETERS = "train.workers, info_maps.workers, evaluate.workers"
MORE_MEMORY = "lower this step's, or give the process more memory and a larger /dev/shm (shared_memory in pipeline/cluster.yaml)"
SHORTAGE = ("MemoryError", "allocate memory", "No space left on device", "shared memory", "Too many open files", "Bus error")
"""What the messages of Python, NumPy, torch and the system say if memory, /dev/shm or file descriptors run out."""
Workers = int | Literal["auto"]
"""Number of processes that load pictures; 0 for none; "auto": see `worker_count`."""


class StoredMaps(Protocol):
    """Stored information maps by picture."""

    def __getitem__(self, index: list[int]) -> "Mapping[Tap, Tensor]":
        """Maps [N, S / stride, S / stride] of the pictures `index` by tap."""
        ...


class TrainingDataset(Dataset[Sample | InputError]):
    """Pictures to train on, indexed by (epoch, index), and how they become a batch.

    An error is returned, not raised: torch would replace an exception of a worker process by one of its own.

    The pictures without labels, if there are any, have the indices after those with labels, also in the stored maps.

    Args:
        data: the pictures with labels.
        augment: the augmentation.
        epochs: of the training.
        seed: of the augmentation.
        maps: of all pictures; None for none.
        unlabelled: the pictures without labels.
        cache: memory for decoded pictures, in bytes.
    """

    def __init__(
        self,
        data: DetectionData,
        augment: AugmentConfig,
        epochs: int,
        seed: int,
        maps: StoredMaps | None = None,
        unlabelled: DetectionData | None = None,
        cache: int = 0,
    ) -> None:
        self.data, self.augment, self.epochs, self.seed, self.maps, self.unlabelled = data, augment, epochs, seed, maps, unlabelled
        self._cache = SquareCache(len(data) + len(unlabelled or ()), data.image_size, cache)

    def __getitem__(self, key: tuple[int, int]) -> Sample | InputError:
        try:
            return self.sample(*key)
        except InputError as error:
            return error

    def sample(self, epoch: int, index: int) -> Sample:
        """Picture `index`, to be augmented for `epoch`.

        Raises:
            InputError: if it cannot be decoded.
        """
        split, number = self._find(index)
        square, position = self._cache.get(index, lambda: split.letterboxed(number))
        return Sample((epoch, index), square, position, *split.objects(number), index < len(self.data))

    def collate(self, samples: list[Sample | InputError]) -> LoadedBatch | InputError:
        """The batch of `samples`, or the first error among them."""
        if error := _first_error(samples):
            return error
        valid = [sample for sample in samples if isinstance(sample, Sample)]
        maps = self.maps[[sample.key[1] for sample in valid]] if self.maps is not None else {}
        return collate(valid, maps, self.augment.at(valid[0].key[0], self.epochs), self.seed)

    def _find(self, index: int) -> tuple[DetectionData, int]:
        """The split with picture `index`, and its index there."""
        own = index - len(self.data)
        return (self.unlabelled, own) if self.unlabelled and own >= 0 else (self.data, index)


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
    """A `DataLoader` that raises the errors of its workers unchanged, and explains how a worker died or ran out of memory."""

    def __iter__(self) -> Iterator[T]:  # type: ignore[override]
        try:
            for batch in super().__iter__():
                if isinstance(batch, InputError):
                    raise batch
                yield batch
        except (RuntimeError, MemoryError, OSError) as error:
            if reason := _shortage(error):
                raise InputError(WORKER_PARAMETERS, f"{reason} ({_last_line(error)})", MORE_MEMORY) from error
            raise


def _shortage(error: Exception) -> str:
    """What a loader lacks; "" for any other error. An error of a worker is a text with the traceback."""
    text = str(error)
    if "DataLoader worker (pid" in text:
        return "a process that loads pictures died"
    if isinstance(error, MemoryError) or any(sign in text for sign in SHORTAGE):
        return "memory, shared memory or open files do not suffice to load pictures"
    return ""


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[-1] if lines and "Caught" in lines[0] else (lines or [""])[0]) or type(error).__name__


def worker_count(workers: Workers) -> int:
    """The number of processes: "auto" leaves one processor of this process to its own work, and is 0 without a GPU.

    A network on the CPU uses all processors itself. The number of threads does not matter: `torchrun` sets it to 1.
    """
    if workers != "auto":
        return workers
    return max(processor_share() - 1, 1) if torch.cuda.is_available() else 0


def training_loader(dataset: TrainingDataset, batch_sampler: EpochBatchSampler, workers: Workers = 0) -> DataLoader[LoadedBatch]:
    """A loader of training batches; set `batch_sampler.epoch` before each pass."""
    count = worker_count(workers)
    return CheckedLoader[Any](
        dataset,
        batch_sampler=batch_sampler,
        collate_fn=dataset.collate,
        num_workers=count,
        persistent_workers=count > 0,
        pin_memory=torch.cuda.is_available(),
    )


def scoring_loader(
    data: DetectionData, batch: int, workers: Workers = 0, indices: Sequence[int] | None = None
) -> DataLoader[tuple[Tensor, list[Letterbox]]]:
    """A loader of uint8 [B, 3, S, S] and the position of each picture in its square, in the order of `indices`; None for all."""
    return CheckedLoader[Any](
        ScoringDataset(data), batch_size=batch, sampler=indices, num_workers=worker_count(workers), collate_fn=_collate_scoring
    )


def _collate_scoring(items: list[tuple[Tensor, Letterbox] | InputError]) -> Any:
    if error := _first_error(items):
        return error
    squares, positions = zip(*items, strict=True)
    return torch.stack(squares), list(positions)


def _first_error(items: Iterable[object]) -> InputError | None:
    return next((item for item in items if isinstance(item, InputError)), None)
