"""The feature loss: the formula, what it is blind to, and its arithmetic."""

import pytest
import torch
from torch import Tensor

from kd.distillation.feature_loss import FeatureLoss

BATCH, OURS, THEIRS, SIDE = 3, 4, 5, 6


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


STUDENT, TEACHER = noise(BATCH, OURS, SIDE, SIDE, seed=0), noise(BATCH, THEIRS, SIDE, SIDE, seed=1) * 3 + 1
IMPORTANCE = noise(BATCH, SIDE, SIDE, seed=2).square()
MEAN, DEVIATION = torch.tensor([1.0, 0, -2, 3, 0.5]), torch.tensor([0.5, 1, 2, 4, 3])
STANDARD = (TEACHER - MEAN[:, None, None]) / DEVIATION[:, None, None]


@pytest.fixture
def loss() -> FeatureLoss:
    module = FeatureLoss(OURS, 1, MEAN, DEVIATION)
    with torch.no_grad():
        module.adapter.linear.weight.copy_(noise(THEIRS, OURS, seed=3))
        module.adapter.linear.bias.copy_(noise(THEIRS, seed=5))
    return module


@pytest.fixture
def plain() -> FeatureLoss:
    """With an adapter that changes nothing."""
    module = FeatureLoss(THEIRS, 1, MEAN, DEVIATION)
    with torch.no_grad():
        module.adapter.linear.weight.copy_(torch.eye(THEIRS))
        module.adapter.linear.bias.zero_()
    return module


def test_the_loss_is_the_formula(loss: FeatureLoss) -> None:
    weight, bias = loss.adapter.linear.weight.detach(), loss.adapter.linear.bias.detach()
    pictures = []
    for b in range(BATCH):
        total = 0.0
        for i in range(SIDE):
            for j in range(SIDE):
                difference = weight @ STUDENT[b, :, i, j] + bias - (TEACHER[b, :, i, j] - MEAN) / DEVIATION
                total += float(IMPORTANCE[b, i, j] * difference.square().sum())
        pictures.append(total / (THEIRS * float(IMPORTANCE[b].sum())))
    assert loss(STUDENT, TEACHER, IMPORTANCE).item() == pytest.approx(sum(pictures) / BATCH, rel=1e-5)


def test_it_is_zero_where_the_adapted_student_is_the_standardised_teacher(plain: FeatureLoss) -> None:
    assert plain(STANDARD, TEACHER, IMPORTANCE) < 1e-10
    assert plain(STANDARD.flip(3), TEACHER, IMPORTANCE) > 0.5


def test_a_scale_of_the_whole_map_does_not_matter_but_its_shape_does(loss: FeatureLoss) -> None:
    found = loss(STUDENT, TEACHER, IMPORTANCE)
    torch.testing.assert_close(loss(STUDENT, TEACHER, 5 * IMPORTANCE), found)
    assert not torch.isclose(loss(STUDENT, TEACHER, IMPORTANCE.flip(2)), found, rtol=1e-3)


def test_places_without_importance_do_not_matter(plain: FeatureLoss) -> None:
    importance = IMPORTANCE.clone()
    importance[:, :, :2] = 0
    found = plain(STANDARD + 0.1, TEACHER, importance)
    unseen, seen = STANDARD + 0.1, STANDARD + 0.1
    unseen[:, :, :, :2], seen[:, :, :, 2:] = 9.0, 9.0
    torch.testing.assert_close(plain(unseen, TEACHER, importance), found)
    assert plain(seen, TEACHER, importance) > 1.05 * found


def test_a_picture_without_any_importance_adds_nothing(loss: FeatureLoss) -> None:
    importance = IMPORTANCE.clone()
    importance[1] = 0
    alone = [loss(STUDENT[b : b + 1], TEACHER[b : b + 1], IMPORTANCE[b : b + 1]) for b in (0, 2)]
    torch.testing.assert_close(loss(STUDENT, TEACHER, importance), torch.stack(alone).sum() / BATCH)


def test_a_place_of_a_coarser_student_tells_of_each_place_that_it_covers() -> None:
    loss = FeatureLoss(OURS, 2, MEAN, DEVIATION)
    coarse = noise(BATCH, OURS, SIDE // 2, SIDE // 2, seed=7)
    with torch.no_grad():
        imitation = torch.zeros(BATCH, THEIRS, SIDE, SIDE)
        weight, bias = loss.adapter.linear.weight.view(2, 2, THEIRS, OURS), loss.adapter.linear.bias.view(2, 2, THEIRS, 1, 1)
        for i in range(2):
            for j in range(2):
                imitation[:, :, i::2, j::2] = torch.einsum("bchw,dc->bdhw", coarse, weight[i, j]) + bias[i, j]
        distance = (imitation - STANDARD).square().mean(dim=1)
        expected = ((IMPORTANCE * distance).sum(dim=(1, 2)) / IMPORTANCE.sum(dim=(1, 2))).mean()
    torch.testing.assert_close(loss(coarse, TEACHER, IMPORTANCE).detach(), expected)


def test_mixed_precision_sums_in_float32(loss: FeatureLoss) -> None:
    exact = loss(STUDENT, TEACHER, IMPORTANCE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(STUDENT, TEACHER.bfloat16(), IMPORTANCE)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=5e-3, atol=0)


def test_the_statistics_are_no_part_of_the_state(loss: FeatureLoss) -> None:
    assert set(loss.state_dict()) == {"adapter.linear.weight", "adapter.linear.bias"}
