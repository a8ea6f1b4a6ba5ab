"""The channel loss: Shu et al.'s formula, the measure that the map adds to it, and what it is blind to."""

import math

import pytest
import torch
from torch import Tensor

from kd.distillation.channel_loss import TEMPERATURE, channel_loss
from kd.distillation.statistics import ChannelStatistics

B, C, H, W = 2, 3, 4, 4


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


STUDENT, TEACHER = noise(B, C, H, W, seed=0), 2 * noise(B, C, H, W, seed=1) + 1
EVEN, IMPORTANCE = torch.ones(B, H, W), noise(B, H, W, seed=2).square()


def loss(student: Tensor, teacher: Tensor, info_map: Tensor) -> Tensor:
    return channel_loss(student, teacher, info_map, ChannelStatistics(torch.zeros(C), torch.ones(C)))


def divergence(student: Tensor, teacher: Tensor, importance: Tensor) -> float:
    """Equations 3 and 4 by loops, with the map as the measure of the places."""
    total = 0.0
    for b in range(B):
        measure = importance[b].flatten().tolist()
        for c in range(C):
            ours, theirs = (
                [i * math.exp(v / TEMPERATURE) for i, v in zip(measure, feature[b, c].flatten().tolist(), strict=True)]
                for feature in (student, teacher)
            )
            total += sum(t / sum(theirs) * math.log((t / sum(theirs)) / (s / sum(ours))) for s, t in zip(ours, theirs, strict=True))
    return TEMPERATURE**2 * total / (B * C)


@pytest.mark.parametrize("importance", [EVEN, IMPORTANCE])
def test_it_is_the_divergence_of_each_channels_places(importance: Tensor) -> None:
    assert loss(STUDENT, TEACHER, importance).item() == pytest.approx(divergence(STUDENT, TEACHER, importance), rel=1e-4)


def test_what_a_channel_has_everywhere_does_not_matter() -> None:
    torch.testing.assert_close(loss(STUDENT + 7, TEACHER, IMPORTANCE), loss(STUDENT, TEACHER, IMPORTANCE))


def test_for_small_differences_it_is_half_the_weighted_variance() -> None:
    student, teacher = (feature / 10 for feature in (STUDENT, TEACHER))
    share = (IMPORTANCE / IMPORTANCE.sum(dim=(1, 2), keepdim=True))[:, None]
    difference = student - teacher
    centered = difference - (share * difference).sum(dim=(2, 3), keepdim=True)
    expected = (share * centered.square()).sum(dim=(2, 3)).mean() / 2
    torch.testing.assert_close(loss(student, teacher, IMPORTANCE), expected, rtol=5e-2, atol=0)


def test_a_scale_of_the_whole_map_does_not_matter_but_its_shape_does() -> None:
    found = loss(STUDENT, TEACHER, IMPORTANCE)
    torch.testing.assert_close(loss(STUDENT, TEACHER, 5 * IMPORTANCE), found)
    assert not torch.isclose(loss(STUDENT, TEACHER, IMPORTANCE.flip(2)), found, rtol=1e-3)


def test_places_without_importance_do_not_matter() -> None:
    importance = IMPORTANCE.clone()
    importance[:, :2] = 0
    other = STUDENT.clone()
    other[:, :, :2] = 3.0
    torch.testing.assert_close(loss(other, TEACHER, importance), loss(STUDENT, TEACHER, importance), rtol=1e-4, atol=0)
    assert loss(other, TEACHER, EVEN) > 1.05 * loss(STUDENT, TEACHER, EVEN)


def test_a_picture_without_any_importance_is_weighted_evenly() -> None:
    torch.testing.assert_close(loss(STUDENT, TEACHER, torch.zeros(B, H, W)), loss(STUDENT, TEACHER, EVEN))
