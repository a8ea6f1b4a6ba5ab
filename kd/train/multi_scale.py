"""Multi-scale training: the pictures of each batch are resized, so that the network sees objects of more sizes."""

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate

from kd.data.batch import Batch
from kd.model.limits import COARSEST_STRIDE

MIN_PICTURE_SIDE = 2 * COARSEST_STRIDE
"""Pixels. Below it, the coarsest feature has one position, and batch normalization cannot normalize a single picture."""


def sample_sides(rng: np.random.Generator, multi_scale: float, image_size: int, steps: int) -> list[int]:
    """Sample the side of the pictures in each of `steps` batches.

    Args:
        rng: the source of randomness.
        multi_scale: the sides are from 1 - multi_scale to 1 + multi_scale times `image_size`, both rounded to multiples of 32; all
            multiples between them are equally likely.
        image_size: the side without multi-scale training, a multiple of 32.
        steps: number of batches.
    """
    low, high = (round(image_size * factor / COARSEST_STRIDE) * COARSEST_STRIDE for factor in (1 - multi_scale, 1 + multi_scale))
    sides = range(max(low, min(MIN_PICTURE_SIDE, image_size)), high + 1, COARSEST_STRIDE)
    return [sides[index] for index in rng.integers(len(sides), size=steps)]


def resize_batch(batch: Batch, side: int) -> Batch:
    """The batch with pictures of `side` times `side` pixels, and with boxes and information maps that fit them."""
    before = batch.pictures.shape[-1]
    if side == before:
        return batch
    maps = {tap: _resize(values[:, None], side // tap.stride)[:, 0] for tap, values in batch.maps.items()}
    return batch._replace(pictures=_resize(batch.pictures, side), boxes=batch.boxes * (side / before), maps=maps)


def _resize(values: Tensor, side: int) -> Tensor:
    return interpolate(values, (side, side), mode="bilinear", antialias=True)
