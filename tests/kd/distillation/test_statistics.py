"""Channel statistics of the teacher."""

import numpy as np
import pytest
import torch

from kd.data.batch import Batch
from kd.distillation.statistics import channel_statistics
from kd.model.build import Network
from kd.model.spec import Tap, taps_at

STRIDES = (16, 32)


@pytest.mark.parametrize("sizes", [[8], [3, 5], [1] * 8])
def test_they_are_those_of_all_positions_for_any_batch_sizes(teacher: Network, batch: Batch, sizes: list[int]) -> None:
    found = channel_statistics(teacher, batch.pictures.split(sizes), STRIDES)
    with torch.no_grad():
        features = teacher(batch.pictures).taps()
    assert list(found) == taps_at(STRIDES)
    for tap, (mean, std) in found.items():
        values = features[tap].double().numpy()
        np.testing.assert_allclose(mean.numpy(), values.mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(std.numpy(), values.std(axis=(0, 2, 3)), rtol=1e-4, atol=1e-6)


def test_a_constant_channel_has_a_deviation_above_zero(teacher: Network, batch: Batch) -> None:
    with torch.no_grad():
        teacher.levels["32"].last.norm.weight[0] = 0.0
    assert channel_statistics(teacher, [batch.pictures], STRIDES)[Tap("neck", 32)].std.min() > 0
