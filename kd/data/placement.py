"""The one transform that moves a picture, its boxes and its information maps together.

Every geometric augmentation here is a flip, a zoom and a shift, so a `Placement` describes all of them: which letterboxed
picture is the source, where its points go, and which window of the output it fills. Coordinates are normalized to -1..1 over the
square, as in `torch.nn.functional.affine_grid`, so the same placement warps a picture of 416 pixels and a map of 13 cells.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

MOSAIC_SIZE = 0.65
"""Size of the pictures in a mosaic, relative to the square."""
MIN_SIDE = 2.0
"""Boxes with a side below this many pixels are dropped."""


@dataclass(frozen=True)
class Placement:
    """source point = zoom * output point + shift, in x and in y; a negative `zoom[0]` mirrors.

    Attributes:
        source: index of the picture.
        zoom: per axis, source units for one output unit.
        shift: the source point at the center of the output.
        window: (x0, y0, x1, y1) of the output that is filled, in 0..1.
    """

    source: int
    zoom: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)
    window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


def warp(squares: list[Tensor], placements: list[Placement], fill: float) -> Tensor:
    """Compose float squares [C, S, S], one for each placement, into one [C, S, S]; the rest is filled with `fill`."""
    out = torch.full_like(squares[0], fill)
    channels, side = out.shape[0], out.shape[-1]
    for square, placement in zip(squares, placements, strict=True):
        x0, y0, x1, y1 = (round(edge * side) for edge in placement.window)
        if x1 > x0 and y1 > y0:
            theta = out.new_tensor([[[placement.zoom[0], 0.0, placement.shift[0]], [0.0, placement.zoom[1], placement.shift[1]]]])
            grid = affine_grid(theta, [1, channels, side, side], align_corners=False)[:, y0:y1, x0:x1]
            warped = grid_sample((square - fill)[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)
            out[:, y0:y1, x0:x1] = warped[0] + fill
    return out


def warp_boxes(
    boxes: Tensor, placement: Placement, side: int, min_visible: float = 0.25, min_side: float = MIN_SIDE
) -> tuple[Tensor, Tensor]:
    """Move boxes [M, 4] (x0, y0, x1, y1; pixels of a square of `side`) as `warp` moves the picture, and clip them to the window.

    Returns:
        The boxes [K, 4] of which at least the fraction `min_visible` is left, with sides of at least `min_side` pixels, and their
        indices [K] among the given ones.
    """
    zoom = boxes.new_tensor(placement.zoom).repeat(2)
    shift = boxes.new_tensor(placement.shift).repeat(2)
    moved = (((boxes / side * 2 - 1) - shift) / zoom + 1) / 2 * side
    if placement.zoom[0] < 0:
        moved = moved[:, [2, 1, 0, 3]]
    x0, y0, x1, y1 = (edge * side for edge in placement.window)
    low, high = boxes.new_tensor([x0, y0, x0, y0]), boxes.new_tensor([x1, y1, x1, y1])
    clipped = moved.clamp(low, high)
    sides, full = clipped[:, 2:] - clipped[:, :2], moved[:, 2:] - moved[:, :2]
    kept = (sides.min(dim=1).values >= min_side) & (sides.prod(dim=1) >= min_visible * full.prod(dim=1))
    return clipped[kept], kept.nonzero().flatten()
