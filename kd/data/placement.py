"""The one transform that moves a picture, its boxes and its information maps together.

Every geometric augmentation here is a flip, a zoom and a shift, so a `Placement` describes all of them: which letterboxed
picture is the source, where its points go, and which window of the output it fills. Coordinates are normalized to -1..1 over the
square, as in `torch.nn.functional.affine_grid`, so the same placement warps a picture of 416 pixels and a map of 13 cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

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


def to_tensor(placements: Sequence[Placement], count: int) -> Tensor:
    """The placements as rows [count, 8] of zoom, shift and window; missing ones have an empty window."""
    rows = [(*placement.zoom, *placement.shift, *placement.window) for placement in placements]
    return torch.tensor(rows + [(0.0,) * 8] * (count - len(rows)), dtype=torch.float64)


def warp(squares: Tensor, placements: Tensor, fill: float) -> Tensor:
    """Compose squares [B, K, C, S, S] into float32 [B, C, S, S], each picture from K squares; the rest is filled with `fill`.

    Each pixel of the output has one source, so it is looked up once, in a column of the K squares with a border of `fill`.

    Args:
        squares: the sources.
        placements: [B, K, 8] where they go, see `to_tensor`.
        fill: what has no source.
    """
    batch, count, channels, side = squares.shape[:4]
    rows = side + 2  # with the border
    column = squares.new_zeros((batch, channels, count, rows, rows), dtype=torch.float32)
    column[..., 1:-1, 1:-1] = squares.transpose(1, 2)
    column[..., 1:-1, 1:-1] -= fill

    zoom, shift, low, high = placements.unflatten(-1, (4, 2)).transpose(0, 1)[..., None].unbind(2)  # each [K, B, 2, 1]
    pixels = torch.arange(side, device=squares.device)
    source = zoom * ((2 * pixels + 1) / side - 1) + shift  # -1..1
    source = ((source + 1) * side / 2 - 0.5).clamp(-1, side) + 1  # in pixels of a square with its border
    inside = (pixels >= (low * side).round()) & (pixels < (high * side).round())
    grid = source.new_full((batch, side, side, 2), -1.0, dtype=torch.float32)  # a pixel of the border
    for number, ((x, y), (in_x, in_y)) in enumerate(zip(source.transpose(1, 2), inside.transpose(1, 2), strict=True)):
        x, y = 2 * x / (rows - 1) - 1, 2 * (y + number * rows) / (count * rows - 1) - 1
        here = torch.stack(torch.broadcast_tensors(x.float()[:, None, :], y.float()[:, :, None]), dim=-1)
        grid = torch.where((in_x[:, None, :] & in_y[:, :, None])[..., None], here, grid)
    warped = grid_sample(column.flatten(2, 3), grid, mode="bilinear", align_corners=True)
    return warped + fill


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
