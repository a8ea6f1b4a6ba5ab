"""The adapter predicts the teacher's channels at the teacher's resolution."""

import torch
from torch import Tensor

from kd.distillation.adapter import Adapter

BATCH, STUDENT, TEACHER, SIDE = 3, 4, 5, 3


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_with_equal_strides_it_is_a_1x1_convolution() -> None:
    adapter, feature = Adapter(STUDENT, TEACHER, 1), noise(BATCH, STUDENT, SIDE, SIDE, seed=0)
    weight, bias = adapter.linear.weight[:, :, None, None], adapter.linear.bias
    torch.testing.assert_close(adapter(feature), torch.nn.functional.conv2d(feature, weight, bias))


def test_a_position_of_a_coarser_student_predicts_each_position_that_it_covers() -> None:
    adapter, coarse = Adapter(STUDENT, TEACHER, 2), noise(BATCH, STUDENT, SIDE, SIDE, seed=1)
    weight, bias = adapter.linear.weight.view(2, 2, TEACHER, STUDENT), adapter.linear.bias.view(2, 2, TEACHER, 1, 1)
    expected = torch.zeros(BATCH, TEACHER, 2 * SIDE, 2 * SIDE)
    for i in range(2):
        for j in range(2):
            expected[:, :, i::2, j::2] = torch.einsum("bchw,dc->bdhw", coarse, weight[i, j]) + bias[i, j]
    torch.testing.assert_close(adapter(coarse), expected)
