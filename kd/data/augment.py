"""Data augmentation. All randomness comes from the generator that is passed in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import rgb_to_grayscale

from kd.data.placement import MOSAIC_SIZE, Placement


@dataclass(frozen=True)
class AugmentConfig:
    """Strengths of the augmentations; see the section `augment` of `params.yaml`."""

    mosaic: float = 0.0
    flip: float = 0.0
    scale: float = 0.0
    translate: float = 0.0
    color: float = 0.0
    close_mosaic: float = 0.0
    multi_scale: float = 0.0

    def at(self, epoch: int, epochs: int) -> "AugmentConfig":
        """The strengths in `epoch` (from 0) of `epochs`: the last fraction `close_mosaic` of the epochs has no mosaic."""
        first = round(epochs * (1 - self.close_mosaic), 9)  # 10 * (1 - 0.7) is slightly above 3
        return replace(self, mosaic=0.0) if epoch >= first else self


def sample_placements(rng: np.random.Generator, augment: AugmentConfig, sources: Sequence[int]) -> list[Placement]:
    """Sample the placements of one training sample: the first of `sources` alone, or a mosaic of all four."""
    if rng.random() >= augment.mosaic:
        return [_sample_placement(rng, augment, sources[0], 1.0, (0.0, 0.0), (0.0, 0.0, 1.0, 1.0))]
    cut_x, cut_y = rng.uniform(0.35, 0.65, size=2)
    windows = [(0.0, 0.0, cut_x, cut_y), (cut_x, 0.0, 1.0, cut_y), (0.0, cut_y, cut_x, 1.0), (cut_x, cut_y, 1.0, 1.0)]
    return [
        _sample_placement(rng, augment, source, MOSAIC_SIZE, (window[0] + window[2] - 1, window[1] + window[3] - 1), window)
        for source, window in zip(sources, windows, strict=True)
    ]


def _sample_placement(
    rng: np.random.Generator,
    augment: AugmentConfig,
    source: int,
    size: float,
    center: tuple[float, float],
    window: tuple[float, float, float, float],
) -> Placement:
    """A picture at `size` times its size, varied by `scale`, with its center near `center` of the output."""
    size *= rng.uniform(1 - augment.scale, 1 + augment.scale)
    zoom = 1 / size
    mirror = -1.0 if rng.random() < augment.flip else 1.0
    at_x, at_y = (c + 2 * rng.uniform(-augment.translate, augment.translate) for c in center)
    return Placement(source, (mirror * zoom, zoom), (-mirror * zoom * at_x, -zoom * at_y), window)


def sample_colors(rng: np.random.Generator, augment: AugmentConfig) -> Tensor:
    """Sample the factors [3] of brightness, contrast and saturation."""
    return torch.from_numpy(rng.uniform(1 - augment.color, 1 + augment.color, size=3)).float()


def adjust_colors(pictures: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast and saturation of float pictures [B, 3, S, S] in 0..1 by `factors` [B, 3], as torchvision does.

    torchvision's functions take one factor for all pictures.
    """
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    pictures = (pictures * brightness).clamp(0, 1)
    pictures = _blend(pictures, rgb_to_grayscale(pictures).mean(dim=(1, 2, 3), keepdim=True), contrast)
    return _blend(pictures, rgb_to_grayscale(pictures), saturation)


def _blend(pictures: Tensor, others: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(others, pictures, share).clamp(0, 1)
