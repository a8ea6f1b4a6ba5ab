"""Mean and standard deviation of each channel of the teacher's features over the training pictures: the N of the formulas."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from kd.model.build import Network
from kd.model.spec import Tap, taps_at


class ChannelStatistics(NamedTuple):
    """Of one tap: mean [C] and standard deviation [C] of its channels; the deviation is above 0."""

    mean: Tensor
    std: Tensor


Statistics = dict[Tap, ChannelStatistics]


@torch.no_grad()
def channel_statistics(teacher: Network, batches: Iterable[Tensor], strides: tuple[int, ...]) -> Statistics:
    """Statistics over all positions of all `batches` [B, 3, S, S]; memory does not grow with their number."""
    sums: dict[Tap, tuple[Tensor, Tensor, int]] = {}
    for pictures in batches:
        for tap, feature in teacher(pictures, strides).taps().items():
            values = feature.double().transpose(0, 1).flatten(1)
            total, squares, count = sums.get(tap, (0.0, 0.0, 0))
            sums[tap] = (total + values.sum(dim=1), squares + values.square().sum(dim=1), count + values.shape[1])
    return {tap: _mean_and_std(*sums[tap]) for tap in taps_at(strides)}


def _mean_and_std(total: Tensor, squares: Tensor, count: int) -> ChannelStatistics:
    mean = total / count
    return ChannelStatistics(mean.float(), (squares / count - mean.square()).clamp(min=1e-8).sqrt().float())
