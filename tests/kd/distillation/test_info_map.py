"""Each method of the information map against a loop over the formula in the module's head."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from kd.distillation import info_map

ANCHORS = {16: [(16.0, 16.0), (24.0, 12.0), (40.0, 40.0)]}
BOXES = torch.tensor([[3.0, 5, 21, 26], [30, 10, 62, 50], [0, 0, 64, 64], [40, 40, 48, 47]])
BATCH_INDEX = torch.tensor([0, 0, 1, 1])
PICTURES, CHANNELS, SIDE, CLASSES = 2, 6, 4, 2


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


FEATURE = noise(PICTURES, CHANNELS, SIDE, SIDE) * 3
SLOPE = noise(PICTURES, CHANNELS, SIDE, SIDE, seed=1)
MEAN, DEVIATION = noise(CHANNELS, seed=2), noise(CHANNELS, seed=3).abs() + 0.1
HEAD = noise(PICTURES, 3 * (5 + CLASSES), SIDE, SIDE, seed=4)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def iou(one: list[float], other: list[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (area - shared)


def energy(b: int, i: int, j: int) -> float:
    return sum(((FEATURE[b, c, i, j] - MEAN[c]) / DEVIATION[c]).item() ** 2 for c in range(CHANNELS)) / CHANNELS


def certainty(b: int, i: int, j: int) -> float:
    values = [HEAD[b, a * (5 + CLASSES) : (a + 1) * (5 + CLASSES), i, j].tolist() for a in range(3)]
    return max(sigmoid(anchor[4]) * max(sigmoid(value) for value in anchor[5:]) for anchor in values)


def best_overlap(box: Tensor, i: int, j: int) -> float:
    x, y = (j + 0.5) * 16, (i + 0.5) * 16
    return max(iou([x - w / 2, y - h / 2, x + w / 2, y + h / 2], box.tolist()) for w, h in ANCHORS[16])


def imitated(b: int, i: int, j: int) -> float:
    values = []
    for box in BOXES[b == BATCH_INDEX]:
        best = max(best_overlap(box, row, column) for row in range(SIDE) for column in range(SIDE))
        overlap = best_overlap(box, i, j)
        values.append(overlap if overlap > 0.5 * best else 0.0)
    return max(values)


def disorder(b: int, i: int, j: int) -> float:
    weights = [math.exp(value) for value in FEATURE[b, :, i, j].tolist()]
    shares = [weight / sum(weights) for weight in weights]
    return -sum(share * math.log(share) for share in shares)


def first_order(b: int, i: int, j: int) -> float:
    return abs(sum((SLOPE[b, c, i, j] * FEATURE[b, c, i, j]).item() for c in range(CHANNELS)))


FORMULAS: dict[str, tuple[Callable[[], Tensor], Callable[[int, int, int], float]]] = {
    "activation": (lambda: info_map.activation(FEATURE, MEAN, DEVIATION), energy),
    "confidence": (lambda: info_map.confidence(HEAD), certainty),
    "mask": (lambda: info_map.mask(BOXES, BATCH_INDEX, PICTURES, ANCHORS[16], 16, 64), imitated),
    "entropy": (lambda: info_map.entropy(FEATURE), disorder),
    "gradient": (lambda: info_map.gradient(FEATURE, SLOPE), first_order),
    "uniform": (lambda: info_map.uniform(FEATURE), lambda b, i, j: 1.0),
}


def test_every_method_is_tested() -> None:
    assert set(FORMULAS) == set(info_map.METHODS)


@pytest.mark.parametrize("method", info_map.METHODS)
def test_the_map_is_the_formula(method: str) -> None:
    draw, formula = FORMULAS[method]
    raw = np.array([[[formula(b, i, j) for j in range(SIDE)] for i in range(SIDE)] for b in range(PICTURES)])
    expected = raw / raw.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(draw().numpy(), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("method", info_map.METHODS)
def test_maps_are_not_negative_and_have_mean_one(method: str) -> None:
    importance = FORMULAS[method][0]()
    assert importance.shape == (PICTURES, SIDE, SIDE)
    assert (importance >= 0).all()
    torch.testing.assert_close(importance.mean(dim=(1, 2)), torch.ones(PICTURES))


def one_sided(feature: Tensor) -> Tensor:
    """Channel 0 so far above the others that the softmax is 1 there."""
    certain = feature.clone()
    certain[:, 0] += 1e4
    return certain


EMPTY = {
    "activation": lambda: info_map.activation(MEAN[None, :, None, None].expand(1, -1, SIDE, SIDE), MEAN, DEVIATION),
    "confidence": lambda: info_map.confidence(torch.full_like(HEAD, -200.0)),
    "mask": lambda: info_map.mask(BOXES[:0], BATCH_INDEX[:0], 1, ANCHORS[16], 16, 64),
    "entropy": lambda: info_map.entropy(one_sided(FEATURE)),
    "gradient": lambda: info_map.gradient(FEATURE, torch.zeros_like(SLOPE)),
}


@pytest.mark.parametrize("method", EMPTY)
def test_a_picture_without_any_importance_is_weighted_evenly(method: str) -> None:
    assert (EMPTY[method]() == 1).all()


def test_an_empty_picture_leaves_its_neighbor_in_the_batch_alone() -> None:
    importance = info_map.mask(BOXES[:2], BATCH_INDEX[:2], 2, ANCHORS[16], 16, 64)
    torch.testing.assert_close(importance[0], info_map.mask(BOXES[:2], BATCH_INDEX[:2], 1, ANCHORS[16], 16, 64)[0])
    assert (importance[1] == 1).all() and (importance[0] != 1).any()


@pytest.mark.parametrize(
    ("boxes", "overlaps"),
    [
        # against the anchor of cell (0, 0) 256 / 384 = 2/3, of cell (0, 1) 128 / 512 = 1/4: below half of the best
        ([[0.0, 0, 24, 16]], [[2 / 3, 0], [0, 0]]),
        # 256 / 448 = 4/7 and 192 / 512 = 3/8: above half of the best
        ([[0.0, 0, 28, 16]], [[4 / 7, 3 / 8], [0, 0]]),
        # a small box (64 / 256 at best) is held against its own best, not against its large neighbor's
        ([[0.0, 0, 16, 16], [20, 20, 28, 28]], [[1, 0], [0, 1 / 4]]),
    ],
)
def test_the_mask_keeps_what_exceeds_half_of_the_boxs_best(boxes: list[list[float]], overlaps: list[list[float]]) -> None:
    square = [(16.0, 16.0)] * 3
    importance = info_map.mask(torch.tensor(boxes), torch.zeros(len(boxes), dtype=torch.int64), 1, square, 16, 32)
    expected = torch.tensor(overlaps)
    torch.testing.assert_close(importance[0], expected / expected.mean())


def test_entropy_lies_between_a_certain_and_an_even_place() -> None:
    feature = FEATURE.clone()
    feature[:, :, 0, 0] = 7.0
    feature[:, :, 1, 1] = torch.tensor([1e4, 0, 0, 0, 0, 0])
    importance = info_map.entropy(feature)
    assert (importance[:, 1, 1] == 0).all()
    others = importance.flatten(1)[:, 1:]
    assert (others < importance[:, :1, 0]).all()
    raw = torch.distributions.Categorical(logits=feature.movedim(1, -1)).entropy()
    torch.testing.assert_close(importance[:, 0, 0], math.log(CHANNELS) / raw.mean(dim=(1, 2)))


def test_the_gradient_reading_is_the_losss_change_when_a_place_is_scaled() -> None:
    feature = FEATURE.double().requires_grad_()

    def loss(at: Tensor) -> Tensor:
        return (SLOPE.double() * at.tanh()).sum()

    slope = torch.autograd.grad(loss(feature), feature)[0]
    changes = torch.zeros(PICTURES, SIDE, SIDE, dtype=torch.float64)
    for place in np.ndindex(*changes.shape):
        b, i, j = place
        ends = []
        for step in (1e-5, -1e-5):
            moved = feature.detach().clone()
            moved[b, :, i, j] *= 1 + step
            ends.append(loss(moved))
        changes[place] = ((ends[0] - ends[1]) / 2e-5).abs()
    torch.testing.assert_close(
        info_map.gradient(feature.detach(), slope), changes / changes.mean(dim=(1, 2), keepdim=True), rtol=1e-5, atol=1e-6
    )
