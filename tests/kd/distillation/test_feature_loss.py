"""The feature loss: the formula, its invariances, and its precision."""

import pytest
import torch
from torch import Tensor

from kd.distillation.feature_loss import feature_loss
from kd.distillation.statistics import ChannelStatistics

BATCH, CHANNELS, SIDE = 3, 5, 6


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


STUDENT, TEACHER = noise(BATCH, CHANNELS, SIDE, SIDE, seed=0), noise(BATCH, CHANNELS, SIDE, SIDE, seed=1) * 3 + 1
MAP = noise(BATCH, SIDE, SIDE, seed=2).square()
STATISTICS = ChannelStatistics(torch.tensor([1.0, 0, -2, 3, 0.5]), torch.tensor([0.5, 1, 2, 4, 3]))
STANDARDIZED = (TEACHER - STATISTICS.mean[:, None, None]) / STATISTICS.std[:, None, None]


def loss(student: Tensor, teacher: Tensor = TEACHER, info_map: Tensor = MAP) -> Tensor:
    return feature_loss(student, teacher, info_map, STATISTICS)


def test_the_loss_is_the_formula() -> None:
    pictures = []
    for b in range(BATCH):
        total = 0.0
        for i in range(SIDE):
            for j in range(SIDE):
                difference = STUDENT[b, :, i, j] - (TEACHER[b, :, i, j] - STATISTICS.mean) / STATISTICS.std
                total += float(MAP[b, i, j] * difference.square().sum())
        pictures.append(total / (CHANNELS * float(MAP[b].sum())))
    assert loss(STUDENT).item() == pytest.approx(sum(pictures) / BATCH, rel=1e-5)


def test_it_is_zero_if_the_student_equals_the_standardized_teacher() -> None:
    assert loss(STANDARDIZED) < 1e-10
    assert loss(STANDARDIZED.flip(3)) > 0.5


def test_the_scale_of_the_map_does_not_matter_but_its_shape_does() -> None:
    torch.testing.assert_close(loss(STUDENT, info_map=5 * MAP), loss(STUDENT))
    assert not torch.isclose(loss(STUDENT, info_map=MAP.flip(2)), loss(STUDENT), rtol=1e-3)


def test_positions_without_importance_do_not_matter() -> None:
    info_map = MAP.clone()
    info_map[:, :, :2] = 0
    expected = loss(STANDARDIZED + 0.1, info_map=info_map)
    outside, inside = STANDARDIZED + 0.1, STANDARDIZED + 0.1
    outside[:, :, :, :2], inside[:, :, :, 2:] = 9.0, 9.0
    torch.testing.assert_close(loss(outside, info_map=info_map), expected)
    assert loss(inside, info_map=info_map) > 1.05 * expected


def test_a_picture_without_importance_adds_nothing() -> None:
    info_map = MAP.clone()
    info_map[1] = 0
    others = [feature_loss(STUDENT[b : b + 1], TEACHER[b : b + 1], MAP[b : b + 1], STATISTICS) for b in (0, 2)]
    torch.testing.assert_close(loss(STUDENT, info_map=info_map), torch.stack(others).sum() / BATCH)


def test_mixed_precision_sums_in_float32() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(STUDENT.bfloat16(), TEACHER.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(STUDENT), rtol=5e-3, atol=0)
