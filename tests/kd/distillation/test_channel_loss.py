"""The channel loss: Shu et al.'s formula, the measure that the map adds to it, and what it is blind to."""

import math

import pytest
import torch
from torch import Tensor

from kd.distillation.channel_loss import TEMPERATURE, ChannelLoss

B, C, H, W = 2, 3, 4, 4


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


STUDENT, TEACHER = noise(B, C, H, W, seed=0), 2 * noise(B, C, H, W, seed=1) + 1
EVEN, IMPORTANCE = torch.ones(B, H, W), noise(B, H, W, seed=2).square()


@pytest.fixture
def loss() -> ChannelLoss:
    return ChannelLoss(C, 1, torch.zeros(C), torch.ones(C))


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
def test_it_is_the_divergence_of_each_channels_places(loss: ChannelLoss, importance: Tensor) -> None:
    assert loss.compare(STUDENT, TEACHER, importance).item() == pytest.approx(divergence(STUDENT, TEACHER, importance), rel=1e-4)


def test_what_a_channel_has_everywhere_does_not_matter(loss: ChannelLoss) -> None:
    torch.testing.assert_close(loss.compare(STUDENT + 7, TEACHER, IMPORTANCE), loss.compare(STUDENT, TEACHER, IMPORTANCE))


def test_for_small_differences_it_is_half_the_weighted_variance(loss: ChannelLoss) -> None:
    student, teacher = (feature.double() / 100 for feature in (STUDENT, TEACHER))
    share = (IMPORTANCE / IMPORTANCE.sum(dim=(1, 2), keepdim=True)).double()[:, None]
    difference = student - teacher
    centerd = difference - (share * difference).sum(dim=(2, 3), keepdim=True)
    expected = (share * centerd.square()).sum(dim=(2, 3)).mean() / 2
    torch.testing.assert_close(loss.compare(student, teacher, IMPORTANCE.double()), expected, rtol=2e-2, atol=0)


def test_a_scale_of_the_whole_map_does_not_matter_but_its_shape_does(loss: ChannelLoss) -> None:
    found = loss.compare(STUDENT, TEACHER, IMPORTANCE)
    torch.testing.assert_close(loss.compare(STUDENT, TEACHER, 5 * IMPORTANCE), found)
    assert not torch.isclose(loss.compare(STUDENT, TEACHER, IMPORTANCE.flip(2)), found, rtol=1e-3)


def test_places_without_importance_do_not_matter(loss: ChannelLoss) -> None:
    importance = IMPORTANCE.clone()
    importance[:, :2] = 0
    other = STUDENT.clone()
    other[:, :, :2] = 3.0
    torch.testing.assert_close(loss.compare(other, TEACHER, importance), loss.compare(STUDENT, TEACHER, importance), rtol=1e-4, atol=0)
    assert loss.compare(other, TEACHER, EVEN) > 1.05 * loss.compare(STUDENT, TEACHER, EVEN)


def test_a_picture_without_any_importance_is_weighted_evenly(loss: ChannelLoss) -> None:
    torch.testing.assert_close(loss.compare(STUDENT, TEACHER, torch.zeros(B, H, W)), loss.compare(STUDENT, TEACHER, EVEN))
