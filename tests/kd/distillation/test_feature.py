"""The feature loss: the formula, what it is blind to, and its arithmetic."""

import pytest
import torch
from torch import Tensor

from kd.distillation.feature import FeatureLoss, standardise

BATCH, OURS, THEIRS, SIDE = 3, 4, 5, 6


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


STUDENT, TEACHER = noise(BATCH, OURS, SIDE, SIDE, seed=0), noise(BATCH, THEIRS, SIDE, SIDE, seed=1) * 3 + 1
IMPORTANCE = noise(BATCH, SIDE, SIDE, seed=2).square()


@pytest.fixture
def loss() -> FeatureLoss:
    module = FeatureLoss(OURS, THEIRS)
    with torch.no_grad():
        module.adapter.weight.copy_(noise(THEIRS, OURS, 1, 1, seed=3))
    return module


@pytest.fixture
def plain() -> FeatureLoss:
    """With an adapter that changes nothing."""
    module = FeatureLoss(THEIRS, THEIRS)
    with torch.no_grad():
        module.adapter.weight.copy_(torch.eye(THEIRS)[:, :, None, None])
    return module


def standard(feature: Tensor) -> Tensor:
    channels = [(c - c.mean()) / (((c - c.mean()) ** 2).mean() + 1e-5) ** 0.5 for c in feature.unbind(1)]
    return torch.stack(channels, dim=1)


def test_the_loss_is_the_formula(loss: FeatureLoss) -> None:
    imitation = torch.einsum("tc,bchw->bthw", loss.adapter.weight[:, :, 0, 0], STUDENT).detach()
    ours, theirs = standard(imitation), standard(TEACHER)
    pictures = []
    for b in range(BATCH):
        places = [(i, j) for i in range(SIDE) for j in range(SIDE)]
        distance = sum(IMPORTANCE[b, i, j] * ((ours[b, :, i, j] - theirs[b, :, i, j]) ** 2).sum() for i, j in places)
        pictures.append(distance / (THEIRS * sum(IMPORTANCE[b, i, j] for i, j in places)))
    torch.testing.assert_close(loss(STUDENT, TEACHER, IMPORTANCE).detach(), torch.stack(pictures).mean())


def test_scale_and_offset_of_a_channel_do_not_matter(plain: FeatureLoss) -> None:
    scale, offset = torch.tensor([0.5, 1, 2, 7, 30])[:, None, None], torch.tensor([0, 5.0, -3, 1, 9])[:, None, None]
    assert plain(TEACHER * scale + offset, TEACHER, IMPORTANCE) < 1e-6
    assert plain(TEACHER * scale + offset, TEACHER.flip(3), IMPORTANCE) > 0.5
    assert plain(-TEACHER, TEACHER, IMPORTANCE) > 1


def test_a_scale_of_the_whole_map_does_not_matter_but_its_shape_does(loss: FeatureLoss) -> None:
    found = loss(STUDENT, TEACHER, IMPORTANCE)
    torch.testing.assert_close(loss(STUDENT, TEACHER, 5 * IMPORTANCE), found)
    assert not torch.isclose(loss(STUDENT, TEACHER, IMPORTANCE.flip(2)), found, rtol=1e-3)


def test_places_without_importance_do_not_matter(plain: FeatureLoss) -> None:
    """Beyond the channels' statistics, which exchanging places leaves as they are."""
    importance = IMPORTANCE.clone()
    importance[:, :, :2] = 0
    student = TEACHER + noise(*TEACHER.shape, seed=4)
    exchanged, disturbed = student.clone(), student.clone()
    exchanged[:, :, :, [0, 1]] = student[:, :, :, [1, 0]]
    disturbed[:, :, :, [2, 3]] = student[:, :, :, [3, 2]]
    found = plain(student, TEACHER, importance)
    torch.testing.assert_close(plain(exchanged, TEACHER, importance), found)
    assert plain(disturbed, TEACHER, importance) > 1.05 * found


def test_a_picture_without_any_importance_adds_nothing(loss: FeatureLoss) -> None:
    importance = IMPORTANCE.clone()
    importance[1] = 0
    only = torch.stack([loss_of(loss, b, IMPORTANCE) for b in (0, 2)])
    torch.testing.assert_close(loss(STUDENT, TEACHER, importance), only.sum() / BATCH)


def loss_of(loss: FeatureLoss, picture: int, importance: Tensor) -> Tensor:
    alone = torch.zeros_like(importance)
    alone[picture] = importance[picture]
    return loss(STUDENT, TEACHER, alone) * BATCH


def test_it_is_computed_in_float32_under_mixed_precision(loss: FeatureLoss) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(STUDENT, TEACHER.bfloat16(), IMPORTANCE)
        imitation = loss.adapter(STUDENT)
    assert imitation.dtype == torch.bfloat16 and found.dtype == torch.float32
    distance = (standard(imitation.float()) - standard(TEACHER.bfloat16().float())).square().mean(dim=1)
    expected = ((IMPORTANCE * distance).sum(dim=(1, 2)) / IMPORTANCE.sum(dim=(1, 2))).mean()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_a_dead_channel_is_finite() -> None:
    feature = torch.zeros(2, 1, 3, 3, requires_grad=True)
    standardise(feature).sum().backward()
    assert torch.isfinite(feature.grad).all()
