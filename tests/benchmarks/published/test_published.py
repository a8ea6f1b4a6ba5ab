"""The published losses against loops over their formulas, and properties that hold for each of them."""

import math

import pytest
import torch
from torch import Tensor

from benchmarks.published import PUBLISHED_METHODS
from benchmarks.published.fgd import ALPHA, BETA, GAMMA, attention, object_scales
from kd.data.batch import Batch
from kd.distillation.statistics import ChannelStatistics
from kd.model.spec import ModelSpec, Output, taps_at

B, C, H, W = 2, 3, 4, 4
STRIDE, SIDE = 16, 64


@pytest.fixture
def features() -> tuple[Tensor, Tensor]:
    """The student's, adapted, and the teacher's, not centered."""
    source = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(B, C, H, W, generator=source) for _ in range(2))
    return student.requires_grad_(), 2 * teacher + 1


@pytest.fixture
def batch() -> Batch:
    """Two pictures: the first has a big object and a small one on it, the second has none."""
    boxes = torch.tensor([[0.0, 0.0, 48.0, 32.0], [17.0, 17.0, 30.0, 30.0]])
    return Batch(torch.zeros(B, 3, SIDE, SIDE), boxes, torch.tensor([0, 1]), torch.tensor([0, 0]), {})


@pytest.fixture
def importance(batch: Batch) -> dict[str, Tensor]:
    """The map that each method reads."""
    even = torch.ones(B, H, W)
    mask = torch.zeros(B, H, W)
    mask[0, 1:3, 2] = 1
    return dict.fromkeys(PUBLISHED_METHODS, even) | {"fgfi": mask, "fgd": object_scales(batch, STRIDE)}


def loss(name: str, student: Tensor, teacher: Tensor, info_map: Tensor) -> Tensor:
    return PUBLISHED_METHODS[name].tap_loss(student, teacher, info_map, ChannelStatistics(torch.zeros(C), torch.ones(C)))


@pytest.mark.parametrize("name", PUBLISHED_METHODS)
def test_the_loss_of_equal_features_is_zero(name: str, features: tuple, importance: dict) -> None:
    student, teacher = features
    assert loss(name, teacher, teacher, importance[name]).item() == pytest.approx(0.0, abs=1e-6)
    assert loss(name, student, teacher, importance[name]).item() > 0.05


@pytest.mark.parametrize("name", PUBLISHED_METHODS)
def test_the_gradient_reaches_the_student(name: str, features: tuple, importance: dict) -> None:
    student, teacher = features
    loss(name, student, teacher, importance[name]).backward()
    assert student.grad is not None and student.grad.abs().sum() > 0


@pytest.mark.parametrize("name", PUBLISHED_METHODS)
def test_a_step_against_the_gradient_lowers_the_loss(name: str, features: tuple, importance: dict) -> None:
    student, teacher = features
    before = loss(name, student, teacher, importance[name])
    (gradient,) = torch.autograd.grad(before, student)
    assert loss(name, student - 1e-2 * gradient / gradient.norm(), teacher, importance[name]) < before


@pytest.mark.parametrize("name", PUBLISHED_METHODS)
def test_half_precision_features_are_compared_in_float32(name: str, features: tuple, importance: dict) -> None:
    student, teacher = (feature.detach().bfloat16() for feature in features)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(name, student, teacher, importance[name])
    assert found.dtype == torch.float32 and found.isfinite()


def positions() -> list[tuple[int, int, int]]:
    return [(b, i, j) for b in range(B) for i in range(H) for j in range(W)]


def test_fitnets_is_half_the_mean_square(features: tuple) -> None:
    student, teacher = features
    total = sum((student[b, :, i, j] - teacher[b, :, i, j]).square().sum().item() for b, i, j in positions())
    assert loss("fitnets", student, teacher, torch.ones(B, H, W)).item() == pytest.approx(total / (2 * C * len(positions())), rel=1e-5)


def test_fgfi_counts_only_masked_positions(features: tuple, importance: dict) -> None:
    student, teacher = features
    mask = importance["fgfi"]
    total = sum((student[b, :, i, j] - teacher[b, :, i, j]).square().sum().item() for b, i, j in positions() if mask[b, i, j])
    assert loss("fgfi", student, teacher, mask).item() == pytest.approx(total / (2 * C * 2), rel=1e-5)
    assert loss("fgfi", student, teacher, torch.zeros(B, H, W)).item() == 0.0


def test_pkd_is_one_minus_the_correlation_and_ignores_scale(features: tuple) -> None:
    student, teacher = features
    even = torch.ones(B, H, W)
    pairs = [torch.stack([student[:, c].flatten(), teacher[:, c].flatten()]) for c in range(C)]
    expected = 1 - sum(torch.corrcoef(pair)[0, 1] for pair in pairs) / C
    value = loss("pkd", student, teacher, even)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(loss("pkd", 3 * student - 5, teacher, even), value)
    torch.testing.assert_close(loss("pkd", student, 0.1 * teacher + 40, even), value, rtol=1e-3, atol=0)
    assert loss("pkd", torch.zeros_like(teacher), teacher, even).item() == pytest.approx(0.5)


def test_fgd_is_its_formula(features: tuple, importance: dict) -> None:
    student, teacher = features
    weights = importance["fgd"]
    sums, masses = [0.0, 0.0], [0.0, 0.0]
    where, which = attention(teacher)
    for b, i, j in positions():
        for part in range(2):
            weight = weights[b, part, i, j].item()
            square = sum(which[b, c].item() * (student[b, c, i, j] - teacher[b, c, i, j]).item() ** 2 for c in range(C)) / C
            sums[part] += weight * where[b, i, j].item() * square
            masses[part] += weight
    our_where, our_which = attention(student)
    focus = (where - our_where).abs().mean() + (which - our_which).abs().mean()
    expected = ALPHA * sums[0] / masses[0] + BETA * sums[1] / masses[1] + GAMMA * focus.item()
    assert loss("fgd", student, teacher, weights).item() == pytest.approx(expected, rel=1e-5)


def test_fgds_attention_is_a_softmax_of_the_mean_size(features: tuple) -> None:
    _, teacher = features
    where, which = attention(teacher)
    sizes = [math.exp(teacher[0, :, i, j].abs().mean().item() / 0.5) for i in range(H) for j in range(W)]
    assert where[0, 1, 2].item() == pytest.approx(H * W * sizes[W + 2] / sum(sizes), rel=1e-5)
    channels = [math.exp(teacher[1, c].abs().mean().item() / 0.5) for c in range(C)]
    assert which[1, 2].item() == pytest.approx(C * channels[2] / sum(channels), rel=1e-5)


def test_objects_of_any_size_count_alike_and_the_smaller_is_on_top(batch: Batch) -> None:
    inside, outside = object_scales(batch, STRIDE)[0]
    assert inside[1, 1] == 1.0  # the small object covers one cell
    assert inside[0, 0] == pytest.approx(1 / 6) and (inside > 0).sum() == 6
    assert inside.sum().item() == pytest.approx(5 / 6 + 1)
    assert outside.sum().item() == pytest.approx(1.0) and not (inside * outside).any()
    empty_inside, empty_outside = object_scales(batch, STRIDE)[1]
    assert not empty_inside.any() and torch.allclose(empty_outside, torch.tensor(1 / 16))


def test_a_box_beyond_the_picture_harms_nothing(batch: Batch) -> None:
    beyond = batch._replace(boxes=torch.tensor([[-20.0, -20.0, -1.0, 5.0], [60.0, 60.0, 90.0, 90.0]]))
    inside = object_scales(beyond, STRIDE)[0, 0]
    assert inside[3, 3] == 1.0 and inside.isfinite().all()


@pytest.mark.parametrize("name", ["fgfi", "fgd"])
def test_maps_of_the_labels(name: str, batch: Batch) -> None:
    anchors = {stride: [(24.0, 24.0), (40.0, 32.0), (60.0, 60.0)] for stride in (16, 32)}
    spec = ModelSpec("yolov3", 0.1, 0.1, ("a", "b"), anchors, SIDE)
    features = {stride: torch.rand(B, 4, SIDE // stride, SIDE // stride) for stride in (16, 32)}
    maps = PUBLISHED_METHODS[name].maps(spec)(batch, Output({}, features, features))
    assert list(maps) == taps_at((16, 32))
    foreground = [m[:, 0] if m.ndim == 4 else m for m in maps.values()]
    assert all(m[0].any() and not m[1].any() for m in foreground)
    if name == "fgfi":
        assert all(set(m.unique().tolist()) <= {0.0, 1.0} for m in maps.values())
