"""A cache of decoded pictures that a process shares with its workers; each process of `torchrun` has its own."""

import mmap
from collections.abc import Callable
from multiprocessing import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kd.data.letterbox import Letterbox

Letterboxed = tuple[Tensor, Letterbox]


class SquareCache:
    """Keeps the letterboxed pictures that fit into `memory` bytes, the first ones of a data set.

    Processes that are forked share it. In a spawned process, it keeps nothing.

    Args:
        pictures: number of pictures in the data set.
        side: of the squares in pixels.
        memory: upper bound in bytes; 0 keeps nothing.
    """

    def __init__(self, pictures: int, side: int, memory: int) -> None:
        row = np.dtype([("square", np.uint8, (side, side, 3)), ("position", np.float64, 3), ("filled", np.bool_)])
        self.capacity = min(pictures, memory // row.itemsize)
        self._lock = Lock()  # also a memory barrier: a process that sees `filled` sees the square, too
        try:  # memory is taken when it is written
            self._rows = np.frombuffer(mmap.mmap(-1, max(self.capacity, 1) * row.itemsize), row)
        except OSError:  # `ulimit -v` counts it at once
            self.capacity = 0

    def get(self, index: int, load: Callable[[], Letterboxed]) -> Letterboxed:
        """Picture `index`, uint8 [3, S, S], and its position in the square; `load` decodes it if it is not in the cache."""
        if index >= self.capacity:
            return load()
        row = self._rows[index]
        with self._lock:
            filled = bool(row["filled"])
        if filled:
            scale, left, top = row["position"].tolist()
            return torch.from_numpy(row["square"]).permute(2, 0, 1), Letterbox(scale, int(left), int(top))
        square, position = load()
        row["square"], row["position"] = square.permute(1, 2, 0).numpy(), position
        with self._lock:
            row["filled"] = True
        return square, position

    def __getstate__(self) -> dict[str, Any]:
        return {"capacity": 0, "_lock": None, "_rows": None}
