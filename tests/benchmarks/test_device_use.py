"""What is measured of an epoch, with made-up epochs and kernels."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.autograd import DeviceType

from benchmarks import device_use
from benchmarks.device_use import WARM_UP, MeasuredBatches, busy_seconds, count_flops, find_sync, kernel_intervals, measure_roof, rate

CPU = torch.device("cpu")
BATCHES: Any = [1, 2, 3, 4, 5]


@pytest.fixture
def epoch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterable[object]], None]:
    """An epoch whose steps take 0.5 seconds of a made-up time, and the first ones 10."""
    now = [100.0]
    monkeypatch.setattr(device_use.time, "perf_counter", lambda: now[0])

    def run(batches: Iterable[object]) -> None:
        for index, _ in enumerate(batches):
            now[0] += 10 if index < WARM_UP else 0.5

    return run


def test_a_window_covers_the_steps_after_the_first_ones() -> None:
    inside: list[bool] = []
    clock = SimpleNamespace(running=False)

    class Context(nullcontext[None]):
        def __enter__(self) -> None:
            clock.running = True

        def __exit__(self, *error: object) -> None:
            clock.running = False

    window = MeasuredBatches(BATCHES, Context())
    seen = [(batch, inside.append(clock.running))[0] for batch in window]
    assert seen == BATCHES and len(window) == 5 and not clock.running
    assert inside == [False] * WARM_UP + [True] * (5 - WARM_UP)


def test_the_rate_is_that_of_the_measured_steps(epoch: Callable) -> None:
    assert rate(epoch, BATCHES, 8, CPU, 0.0) == 8 / 0.5


def test_epochs_are_repeated_until_the_time_is_over(epoch: Callable) -> None:
    epochs: list[object] = []
    assert rate(lambda batches: (epochs.append(batches), epoch(batches)), BATCHES, 8, CPU, 4.0) == 8 / 0.5
    assert len(epochs) == 3  # of 1.5 seconds


def test_operations_are_those_of_a_step() -> None:
    weight = torch.ones(10, 20, requires_grad=True)

    def epoch(batches: Iterable[object]) -> None:
        for index, _ in enumerate(batches):
            (torch.ones(5, 10) @ weight).sum().backward()
            if index == 0:
                torch.ones(100, 100) @ torch.ones(100, 100)

    assert count_flops(epoch, BATCHES) == 2 * (2 * 5 * 10 * 20)  # forward, and the gradient of the weight


def test_the_roof_is_a_rate() -> None:
    assert 1e8 < measure_roof(CPU, torch.float32, 128, 2) < 1e14


def test_kernels_that_overlap_are_busy_once() -> None:
    assert busy_seconds([(5e6, 6e6), (0, 2e6), (1e6, 3e6), (1.5e6, 1.6e6)]) == pytest.approx(4)
    assert busy_seconds([]) == 0


def event(name: str, start: float, device: DeviceType = DeviceType.CUDA, annotation: bool = False) -> SimpleNamespace:
    time_range = SimpleNamespace(start=start, end=start + 1)
    return SimpleNamespace(name=name, time_range=time_range, device_type=device, is_user_annotation=annotation)


def test_copies_annotations_and_the_host_are_no_kernels() -> None:
    events = [
        event("gemm", 1),
        event("Memcpy HtoD (Pinned -> Device)", 2),
        event("Memset (Device)", 3),
        event("Optimizer.step#AdamW.step", 4, annotation=True),
        event("aten::mm", 5, DeviceType.CPU),
        event("conv", 6),
    ]
    profiler: Any = SimpleNamespace(events=lambda: events)
    assert kernel_intervals(profiler) == [(1, 2), (6, 7)]


def test_a_step_that_waits_is_found_and_the_mode_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = ["default"]
    monkeypatch.setattr(device_use.torch.cuda, "set_sync_debug_mode", modes.append)

    def epoch(batches: Iterable[object]) -> None:
        for batch in batches:
            if batch == 4 and modes[-1] == "error":
                raise RuntimeError("called a synchronizing CUDA operation\nmore")

    assert find_sync(epoch, BATCHES) == "called a synchronizing CUDA operation" and modes[-1] == "default"
    assert find_sync(list, BATCHES) == "" and modes[-1] == "default"
