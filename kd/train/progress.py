"""The progress bar of a training, over all epochs, with the current losses."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from torch import Tensor

from kd.progress import Progress
from kd.train.divergence import DivergenceCheck

T = TypeVar("T")


class TrainingProgress:
    """A progress bar over `epochs` of `steps` batches of `batch` pictures, `done` of which an earlier run has trained.

    It is enabled in the main process only; the others print nothing.
    """

    def __init__(self, title: str, epochs: int, steps: int, batch: int, done: int, enabled: bool) -> None:
        self.epochs, self.batch = epochs, batch
        left = (epochs - done) * steps * batch
        self.progress = Progress(title, left, "pictures") if enabled and left else None
        self._waited, self._since = 0.0, time.perf_counter()
        if self.progress and done:
            self.write(f"{title}: resuming after epoch {done} of {epochs}")

    def timed(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield `batches`; the next line of the bar shows which share of the time was spent waiting for them."""
        iterator = iter(batches)
        while True:
            start = time.perf_counter()
            batch = next(iterator, None)
            self._waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def step(self, epoch: int, terms: dict[str, Tensor], divergence: DivergenceCheck) -> None:
        """Count one batch. Only if a line is due, the device is waited for.

        Raises:
            TrainingDiverged: if a line is due and `divergence` has found something.
        """

        def note() -> str:
            divergence.raise_if_diverged()
            return f"epoch {epoch + 1}/{self.epochs}  {_format(terms)}  data {self._take_waiting_share():.0%}"

        if self.progress:
            self.progress.advance(self.batch, note)

    def _take_waiting_share(self) -> float:
        """The share of the time since the last call that was spent waiting for batches, 0..1."""
        now = time.perf_counter()
        share = self._waited / (now - self._since)
        self._waited, self._since = 0.0, now
        return share

    def write(self, line: str) -> None:
        """Print a line above the bar."""
        if self.progress:
            self.progress.write(line)

    def close(self) -> None:
        """End the bar."""
        if self.progress:
            self.progress.close()


def _format(terms: dict[str, Tensor]) -> str:
    return "  ".join(f"{name.removeprefix('distill_')} {float(term):.2f}" for name, term in terms.items())
