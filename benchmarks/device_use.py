"""How well a training uses its device: rate, floating point operations, idle time, and whether a step waits for it.

Each function runs epochs of a training, and measures a part of the batches, see `MeasuredBatches`.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Protocol

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from kd.data.batch import LoadedBatch

Epoch = Callable[[Iterable[LoadedBatch]], object]
"""Trains on all batches."""


class Batches(Protocol):
    """A loader or a list of batches."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[LoadedBatch]: ...


WARM_UP = 2
"""Steps at the beginning of an epoch that are not measured. The first one of a distillation computes the gradient ratio, too."""


class MeasuredBatches:
    """The same batches; the steps after the first `WARM_UP` run inside the context `measured`."""

    def __init__(self, batches: Batches, measured: AbstractContextManager[object]) -> None:
        self.batches, self.measured = batches, measured

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[LoadedBatch]:
        iterator = iter(self.batches)
        yield from islice(iterator, WARM_UP)
        with self.measured:
            yield from iterator


class DeviceTimer:
    """A context that adds to `seconds`; it waits for the device before and after."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, 0.0

    def __enter__(self) -> None:
        self._synchronize()
        self.start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._synchronize()
        self.seconds += time.perf_counter() - self.start

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def rate(epoch: Epoch, batches: Batches, batch: int, device: torch.device, seconds: float) -> float:
    """Pictures a second, of as many epochs as `seconds` allow, at least one."""
    clock, steps = DeviceTimer(device), 0
    while not steps or clock.seconds < seconds:
        epoch(MeasuredBatches(batches, clock))
        steps += len(batches) - WARM_UP
    return steps * batch / clock.seconds


def count_flops(epoch: Epoch, batches: Batches) -> float:
    """Floating point operations of a step, forward and backward: those of convolutions and matrix products."""
    counter = FlopCounterMode(display=False)
    epoch(MeasuredBatches(batches, counter))
    return counter.get_total_flops() / (len(batches) - WARM_UP)


def measure_roof(device: torch.device, dtype: torch.dtype, side: int, repeats: int = 10) -> float:
    """Floating point operations a second in the fastest of a few products of square matrices."""
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(repeats):
        clock = DeviceTimer(device)
        with clock:
            for _ in range(repeats):
                left @ right
        best = min(best, clock.seconds / repeats)
    return 2 * float(side) ** 3 / best


def idle_share(epoch: Epoch, batches: Batches, device: torch.device) -> float:
    """The share of the time in which no kernel runs on a GPU, 0..1."""
    profiler, clock = profile(activities=[ProfilerActivity.CUDA]), DeviceTimer(device)

    @contextmanager
    def profiled() -> Iterator[None]:
        with profiler, clock:
            yield

    epoch(MeasuredBatches(batches, profiled()))
    return 1 - busy_seconds(kernel_intervals(profiler)) / clock.seconds


def kernel_intervals(profiler: profile) -> list[tuple[float, float]]:
    """Begin and end of each kernel in microseconds; copies and annotations are none."""
    events = [event for event in profiler.events() or () if event.device_type.name == "CUDA" and not event.is_user_annotation]
    return [(event.time_range.start, event.time_range.end) for event in events if not event.name.startswith(("Memcpy", "Memset"))]


def busy_seconds(intervals: Iterable[tuple[float, float]]) -> float:
    """Seconds in which at least one of the intervals runs, which are in microseconds."""
    total, latest = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(end - max(start, latest), 0.0)
        latest = max(latest, end)
    return total / 1e6


def find_sync(epoch: Epoch, batches: Batches) -> str:
    """The first line of CUDA's error if a step waits for the GPU; "" if none does."""

    @contextmanager
    def waiting_is_an_error() -> Iterator[None]:
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    try:
        epoch(MeasuredBatches(batches, waiting_is_an_error()))
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:  # a generator that an exception keeps alive has not left its context yet
        torch.cuda.set_sync_debug_mode("default")
    return ""
