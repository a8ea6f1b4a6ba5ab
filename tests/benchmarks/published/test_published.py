"""The rivals' losses against loops over the published formulas, and what must hold for each of them."""

import math

import pytest
import torch
from torch import Tensor, nn

from benchmarks.published import PUBLISHED_METHODS
from benchmarks.published.fgd import ALPHA, BETA, GAMMA, Focal, ObjectScales, attention, object_scales
from benchmarks.published.fgfi import BinaryMask, FineGrained
from benchmarks.published.fitnets import Hint
from benchmarks.published.pkd import Pearson
from kd.data.loader import Batch
from kd.distillation.adapter import Adapted
from kd.model.spec import ModelSpec, Output

B, C, H, W = 2, 3, 4, 4
STRIDE, SIDE = 16, 64


@pytest.fixture
def features() -> tuple[Tensor, Tensor]:
    """The student's, adapted, and the teacher's, neither centerd."""
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
    """The map that each rival gets."""
    even = torch.ones(B, H, W)
    mask = torch.zeros(B, H, W)
    mask[0, 1:3, 2] = 1
    return dict.fromkeys(PUBLISHED_METHODS, even) | {"fgfi": mask, "fgd": object_scales(batch, STRIDE, SIDE)}


def loss_of(name: str) -> Adapted:
    loss = PUBLISHED_METHODS[name].tap_loss(C, 1, torch.zeros(C), torch.ones(C))
    assert isinstance(loss, Adapted)
    return loss


@pytest.mark.parametrize("name", PUBLISHED_METHODS)
def test_equal_features_cost_nothing_and_others_something(name: str, features: tuple, importance: dict) -> None:
    student, teacher = features
    loss = loss_of(name)
    assert loss.compare(teacher, teacher, importance[name]).item() == pytest.approx(0.0, abs=1e-6)
    assert loss.compare(student, teacher, importance[name]).item() > 0.05


@pytest.mark.parametrize("name", PUBLISHED_METHODS)
def test_the_gradient_reaches_the_student_and_the_adapter(name: str, features: tuple, importance: dict) -> None:
    student, teacher = features
    loss = loss_of(name)
    loss(student, teacher, importance[name]).backward()
    assert student.grad is not None and student.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in loss.parameters())
    assert {key.split(".")[0] for key in loss.state_dict()} == {"adapter"}


@pytest.mark.parametrize("name", PUBLISHED_METHODS)
def test_a_step_against_the_gradient_lowers_the_loss(name: str, features: tuple, importance: dict) -> None:
    student, teacher = features
    loss = loss_of(name)
    before = loss.compare(student, teacher, importance[name])
    (slope,) = torch.autograd.grad(before, student)
    assert loss.compare(student - 1e-2 * slope / slope.norm(), teacher, importance[name]) < before


@pytest.mark.parametrize("name", PUBLISHED_METHODS)
def test_half_precision_features_are_compared_in_full(name: str, features: tuple, importance: dict) -> None:
    student, teacher = (feature.detach().bfloat16() for feature in features)
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(name)(student, teacher, importance[name])
    assert loss.dtype == torch.float32 and loss.isfinite()


def test_the_adapter_changes_the_channels() -> None:
    loss = Hint(5, 1, torch.zeros(C), torch.ones(C))
    assert loss(torch.zeros(B, 5, H, W), torch.zeros(B, C, H, W), torch.ones(B, H, W)).ndim == 0


@pytest.mark.parametrize("name", PUBLISHED_METHODS)
def test_a_coarser_student_is_compared_at_the_teachers_places(name: str, features: tuple, importance: dict) -> None:
    loss = PUBLISHED_METHODS[name].tap_loss(5, 2, torch.zeros(C), torch.ones(C))
    assert loss(torch.ones(B, 5, H // 2, W // 2), features[1], importance[name]) > 0


def places() -> list[tuple[int, int, int]]:
    return [(b, i, j) for b in range(B) for i in range(H) for j in range(W)]


def test_fitnets_is_half_the_mean_square(features: tuple) -> None:
    student, teacher = features
    total = sum((student[b, :, i, j] - teacher[b, :, i, j]).square().sum().item() for b, i, j in places())
    assert Hint(C, 1, torch.zeros(C), torch.ones(C)).compare(student, teacher, torch.ones(B, H, W)).item() == pytest.approx(
        total / (2 * C * len(places())), rel=1e-5
    )


def test_fgfi_counts_masked_places_alone(features: tuple, importance: dict) -> None:
    student, teacher = features
    mask = importance["fgfi"]
    total = sum((student[b, :, i, j] - teacher[b, :, i, j]).square().sum().item() for b, i, j in places() if mask[b, i, j])
    loss = FineGrained(C, 1, torch.zeros(C), torch.ones(C))
    assert loss.compare(student, teacher, mask).item() == pytest.approx(total / (2 * C * 2), rel=1e-5)
    assert loss.compare(student, teacher, torch.zeros(B, H, W)).item() == 0.0


def test_pkd_is_one_minus_the_correlation_and_knows_no_scale(features: tuple) -> None:
    student, teacher = features
    loss = Pearson(C, 1, torch.zeros(C), torch.ones(C))
    even = torch.ones(B, H, W)
    pairs = [torch.stack([student[:, c].flatten(), teacher[:, c].flatten()]) for c in range(C)]
    expected = 1 - sum(torch.corrcoef(pair)[0, 1] for pair in pairs) / C
    value = loss.compare(student, teacher, even)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(loss.compare(3 * student - 5, teacher, even), value)
    torch.testing.assert_close(loss.compare(student, 0.1 * teacher + 40, even), value, rtol=1e-3, atol=0)
    assert loss.compare(torch.zeros_like(teacher), teacher, even).item() == pytest.approx(0.5)


def test_fgd_is_its_formula(features: tuple, importance: dict) -> None:
    student, teacher = features
    weights = importance["fgd"]
    sums, masses = [0.0, 0.0], [0.0, 0.0]
    where, which = attention(teacher)
    for b, i, j in places():
        for part in range(2):
            weight = weights[b, part, i, j].item()
            square = sum(which[b, c].item() * (student[b, c, i, j] - teacher[b, c, i, j]).item() ** 2 for c in range(C)) / C
            sums[part] += weight * where[b, i, j].item() * square
            masses[part] += weight
    our_where, our_which = attention(student)
    focus = (where - our_where).abs().mean() + (which - our_which).abs().mean()
    expected = ALPHA * sums[0] / masses[0] + BETA * sums[1] / masses[1] + GAMMA * focus.item()
    assert Focal(C, 1, torch.zeros(C), torch.ones(C)).compare(student, teacher, weights).item() == pytest.approx(expected, rel=1e-5)


def test_fgds_attention_is_a_softmax_of_the_mean_size(features: tuple) -> None:
    _, teacher = features
    where, which = attention(teacher)
    sizes = [math.exp(teacher[0, :, i, j].abs().mean().item() / 0.5) for i in range(H) for j in range(W)]
    assert where[0, 1, 2].item() == pytest.approx(H * W * sizes[W + 2] / sum(sizes), rel=1e-5)
    channels = [math.exp(teacher[1, c].abs().mean().item() / 0.5) for c in range(C)]
    assert which[1, 2].item() == pytest.approx(C * channels[2] / sum(channels), rel=1e-5)


def test_objects_of_any_size_count_alike_and_the_smaller_is_on_top(batch: Batch) -> None:
    inside, outside = object_scales(batch, STRIDE, SIDE)[0]
    assert inside[1, 1] == 1.0  # the small object owns the one cell that it touches
    assert inside[0, 0] == pytest.approx(1 / 6) and (inside > 0).sum() == 6
    assert inside.sum().item() == pytest.approx(5 / 6 + 1)
    assert outside.sum().item() == pytest.approx(1.0) and not (inside * outside).any()
    empty_inside, empty_outside = object_scales(batch, STRIDE, SIDE)[1]
    assert not empty_inside.any() and torch.allclose(empty_outside, torch.tensor(1 / 16))


def test_a_box_beyond_the_picture_harms_nothing(batch: Batch) -> None:
    beyond = batch._replace(boxes=torch.tensor([[-20.0, -20.0, -1.0, 5.0], [60.0, 60.0, 90.0, 90.0]]))
    inside = object_scales(beyond, STRIDE, SIDE)[0, 0]
    assert inside[3, 3] == 1.0 and inside.isfinite().all()


@pytest.mark.parametrize("kind", [BinaryMask, ObjectScales])
def test_their_maps_come_from_the_labels(kind: type, batch: Batch) -> None:
    anchors = {stride: [(24.0, 24.0), (40.0, 32.0), (60.0, 60.0)] for stride in (16, 32)}
    spec = ModelSpec("yolov3", 0.1, 0.1, ("a", "b"), anchors, SIDE)
    taps = {tap: torch.rand(B, 4, SIDE // s, SIDE // s) for tap, s in (("backbone_16", 16), ("backbone_32", 32))}
    output = Output({}, {16: taps["backbone_16"], 32: taps["backbone_32"]}, {16: taps["backbone_16"], 32: taps["backbone_32"]})
    maps = kind(nn.Identity(), spec, "uniform", (16, 32)).draw(output, batch)
    assert set(maps) == {"backbone_16", "backbone_32", "neck_16", "neck_32"}
    foreground = [m[:, 0] if m.ndim == 4 else m for m in maps.values()]
    assert all(m[0].any() and not m[1].any() for m in foreground)
    if kind is BinaryMask:
        assert all(set(m.unique().tolist()) <= {0.0, 1.0} for m in maps.values())
