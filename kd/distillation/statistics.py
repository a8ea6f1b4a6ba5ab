"""Mean and standard deviation of each channel of the teacher's features over the training pictures: the N of the formulas."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kd.model.build import Network
from kd.model.distributed import SINGLE, Processes
from kd.model.spec import Tap, taps_at


class ChannelStatistics(NamedTuple):
    """Of one tap: mean [C] and standard deviation [C] of its channels; the deviation is above 0."""

    mean: Tensor
    std: Tensor


Statistics = dict[Tap, ChannelStatistics]
Sums = tuple[Tensor, Tensor, int]
"""Sum [C] and sum of squares [C] of the values of each channel, and their number."""


@torch.no_grad()
def channel_statistics(teacher: Network, batches: Iterable[Tensor], strides: tuple[int, ...], processes: Processes = SINGLE) -> Statistics:
    """Statistics over all positions of the `batches` [B, 3, S, S] of all processes; memory does not grow with their number.

    Raises:
        InputError, OSError, SystemExit: as `Processes.together`.
    """
    with processes.together():
        own = _sum_up(teacher, batches, strides)
    parts = [part for part in processes.all_gather(own) if part]  # one that had no batch has no sums
    device = next(teacher.parameters()).device
    return {tap: _mean_and_std([part[tap] for part in parts], device) for tap in taps_at(strides)}


def _sum_up(teacher: Network, batches: Iterable[Tensor], strides: tuple[int, ...]) -> dict[Tap, Sums]:
    """The sums of each tap, on the CPU."""
    sums: dict[Tap, Any] = {}
    for pictures in batches:
        for tap, feature in teacher(pictures, strides).taps().items():
            values = feature.double().transpose(0, 1).flatten(1)
            total, squares, count = sums.get(tap, (0.0, 0.0, 0))
            sums[tap] = (total + values.sum(dim=1), squares + values.square().sum(dim=1), count + values.shape[1])
    return {tap: (total.cpu(), squares.cpu(), count) for tap, (total, squares, count) in sums.items()}


def _mean_and_std(parts: list[Sums], device: torch.device) -> ChannelStatistics:
    totals, squares, counts = zip(*parts, strict=True)
    count = sum(counts)
    mean = torch.stack(totals).sum(dim=0) / count
    std = (torch.stack(squares).sum(dim=0) / count - mean.square()).clamp(min=1e-8).sqrt()
    return ChannelStatistics(mean.float().to(device), std.float().to(device))
