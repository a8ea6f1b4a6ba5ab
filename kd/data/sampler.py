"""Which pictures are in a batch."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from kd.data.streams import ORDER, UNLABELLED_ORDER, generator
from kd.errors import InputError


class EpochBatchSampler(Sampler[list[tuple[int, int]]]):
    """Yields the batches of one epoch as lists of (epoch, index). Each of `world_size` processes gets an equal, contiguous share of every
    batch, because the pictures of a mosaic are consecutive.

    Pictures without labels are added to each batch, after those with labels. They change neither the number of steps in an epoch nor
    the pictures with labels in a step. They are drawn without replacement until all were seen, and then again: many of them last for
    several epochs, few are seen several times in one. Instead of the epoch, they have the number of the pass over all of them, so that
    they are augmented differently each time.

    Args:
        pictures: number of pictures with labels.
        batch: number of them in a batch, lowered if there are fewer pictures. Those that do not fill a last batch are left out of this
            epoch.
        seed: of the order.
        rank: of this process.
        world_size: number of processes.
        unlabelled: number of pictures without labels.
        unlabelled_share: their share of a batch, 0..1 exclusive; if it is above 0, a batch has at least one for each process.

    Raises:
        InputError: if the processes do not divide the batch, or there are fewer pictures than processes.
    """

    def __init__(
        self, pictures: int, batch: int, seed: int, rank: int = 0, world_size: int = 1, unlabelled: int = 0, unlabelled_share: float = 0.0
    ) -> None:
        if batch % world_size:  # the mean of the gradients would weigh the pictures of a smaller share more
            raise InputError("train.batch", f"is {batch}, which {world_size} processes do not divide", "set it to a multiple of them")
        if pictures < world_size:
            problem = f"has {pictures} pictures, fewer than the {world_size} processes"
            raise InputError("the training split", problem, "add pictures, or start fewer processes")
        self.pictures, self.seed, self.rank, self.world_size = pictures, seed, rank, world_size
        self.batch = min(batch, pictures - pictures % world_size)
        self.unlabelled = unlabelled
        added = max(round(self.batch * unlabelled_share / (1 - unlabelled_share)), 1) if unlabelled and unlabelled_share else 0
        self.unlabelled_batch = added + -added % world_size
        self._order: tuple[int, np.ndarray] = -1, np.empty(0)
        self.epoch = 0

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = generator(self.seed, ORDER, self.epoch).permutation(self.pictures)
        for step in range(len(self)):
            labelled = order[step * self.batch : (step + 1) * self.batch]
            unlabelled = self._draw_unlabelled(self.epoch * len(self) + step)
            yield self._own_part([(self.epoch, index) for index in labelled.tolist()]) + self._own_part(unlabelled)

    def _own_part(self, part: list[tuple[int, int]]) -> list[tuple[int, int]]:
        size = len(part) // self.world_size
        return part[self.rank * size : (self.rank + 1) * size]

    def _draw_unlabelled(self, step: int) -> list[tuple[int, int]]:
        """Pass and index of the pictures without labels in a step of the training: the next ones of one random order after another."""
        first = step * self.unlabelled_batch
        return [self._unlabelled_at(position) for position in range(first, first + self.unlabelled_batch)]

    def _unlabelled_at(self, position: int) -> tuple[int, int]:
        number, place = divmod(position, self.unlabelled)
        if number != self._order[0]:
            self._order = number, generator(self.seed, UNLABELLED_ORDER, number).permutation(self.unlabelled)
        return number, self.pictures + int(self._order[1][place])

    @property
    def size(self) -> int:
        """Number of pictures in a batch, summed over all processes."""
        return self.batch + self.unlabelled_batch

    def __len__(self) -> int:
        return self.pictures // self.batch
