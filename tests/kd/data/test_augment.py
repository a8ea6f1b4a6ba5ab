import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from kd.data.augment import AugmentConfig, adjust_colors, sample_colors, sample_placements
from kd.data.placement import Placement, to_tensor, warp_boxes

MOSAIC = AugmentConfig(mosaic=1.0)


def middle(placement: Placement) -> list[float]:
    """Position of the center of the source in the output, in 0..1."""
    boxes, _ = warp_boxes(torch.tensor([[49.0, 49.0, 51.0, 51.0]]), to_tensor([placement], 1), 100, min_visible=0, min_side=0)
    return ((boxes[0, :2] + boxes[0, 2:]) / 200).tolist()


def test_without_augmentation_a_picture_is_unchanged() -> None:
    assert sample_placements(np.random.default_rng(0), AugmentConfig(), [3, 5, 6, 7]) == [Placement(3)]


def test_a_mosaic_shows_four_pictures_that_fill_the_square() -> None:
    for seed in range(20):
        placements = sample_placements(np.random.default_rng(seed), MOSAIC, [3, 5, 6, 7])
        assert [p.source for p in placements] == [3, 5, 6, 7]
        (x0, y0, x1, y1), right, below, last = (p.window for p in placements)
        assert (x0, y0) == (0, 0) and 0.35 <= x1 <= 0.65 and 0.35 <= y1 <= 0.65
        assert (right, below, last) == ((x1, 0, 1, y1), (0, y1, x1, 1), (x1, y1, 1, 1))
        for p in placements:
            assert middle(p) == pytest.approx([(p.window[0] + p.window[2]) / 2, (p.window[1] + p.window[3]) / 2], abs=1e-4)


def test_the_fractions_of_mosaics_and_flips_are_as_configured() -> None:
    rng = np.random.default_rng(0)
    samples = [sample_placements(rng, AugmentConfig(mosaic=0.3, flip=0.7), range(4)) for _ in range(2000)]
    singles = [p[0] for p in samples if len(p) == 1]
    assert 0.26 < 1 - len(singles) / len(samples) < 0.34
    assert 0.65 < np.mean([p.zoom[0] < 0 for p in singles]) < 0.75


def test_zoom_and_shift_stay_within_their_limits() -> None:
    rng = np.random.default_rng(0)
    samples = [sample_placements(rng, AugmentConfig(scale=0.3, translate=0.1, flip=0.5), range(4))[0] for _ in range(500)]
    sizes = [1 / p.zoom[1] for p in samples]
    assert 0.7 <= min(sizes) < 0.75 and 1.25 < max(sizes) <= 1.3
    assert all(abs(p.zoom[0]) == p.zoom[1] for p in samples)
    moved = np.array([middle(p) for p in samples]) - 0.5
    assert 0.09 < np.abs(moved).max() <= 0.1001


def test_equal_generators_give_equal_samples() -> None:
    strong = AugmentConfig(0.5, 0.5, 0.5, 0.2, 0.5)
    first, second = (sample_placements(np.random.default_rng(7), strong, range(4)) for _ in range(2))
    assert first == second
    assert torch.equal(*(sample_colors(np.random.default_rng(7), strong) for _ in range(2)))


@pytest.mark.parametrize(
    ("epochs", "close", "expected"), [(10, 0.7, 3), (50, 0.42, 29), (20, 0.85, 3), (10, 0.25, 8), (7, 0.0, 7), (7, 1.0, 0)]
)
def test_the_number_of_epochs_with_mosaic_is_not_changed_by_rounding_errors(epochs: int, close: float, expected: int) -> None:
    augment = AugmentConfig(mosaic=1.0, close_mosaic=close)
    assert sum(augment.at(epoch, epochs).mosaic > 0 for epoch in range(epochs)) == expected


def test_the_last_epochs_run_without_mosaic() -> None:
    augment = AugmentConfig(mosaic=0.8, flip=0.5, close_mosaic=0.2)
    assert [augment.at(epoch, 10).mosaic for epoch in (0, 7, 8, 9)] == [0.8, 0.8, 0.0, 0.0]
    assert augment.at(9, 10).flip == 0.5
    assert AugmentConfig(mosaic=0.8).at(9, 10).mosaic == 0.8


def test_colors_vary_within_their_range() -> None:
    factors = torch.stack([sample_colors(np.random.default_rng(seed), AugmentConfig(color=0.5)) for seed in range(100)])
    assert factors.shape == (100, 3) and 0.5 <= float(factors.min()) < 0.55 and 1.45 < float(factors.max()) <= 1.5
    assert sample_colors(np.random.default_rng(0), AugmentConfig()).tolist() == [1, 1, 1]


def test_colors_are_those_of_torchvision() -> None:
    pictures, factors = torch.rand(4, 3, 8, 8), torch.rand(4, 3) + 0.5
    adjusted = adjust_colors(pictures, factors)
    for picture, (brightness, contrast, saturation), found in zip(pictures, factors.tolist(), adjusted, strict=True):
        expected = functional.adjust_contrast(functional.adjust_brightness(picture, brightness), contrast)
        torch.testing.assert_close(found, functional.adjust_saturation(expected, saturation))
    torch.testing.assert_close(adjust_colors(pictures, torch.ones(4, 3)), pictures)
