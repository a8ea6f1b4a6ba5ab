"""The one transform that moves a picture, its boxes and its information maps together.

Every geometric augmentation here is a flip, a zoom and a shift, so a `Placement` describes all of them: which letterboxed
picture is the source, where its points go, and which window of the output it fills. Coordinates are normalized to -1..1 over the
square, as in `torch.nn.functional.affine_grid`, so the same placement warps a picture of 416 pixels and a map of 13 cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

MOSAIC_PICTURES = 4
MOSAIC_SIZE = 0.65
"""Size of the pictures in a mosaic, relative to the square."""
MIN_BOX_SIDE = 2.0
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
    return torch.tensor(rows + [(1.0, 1.0, *[0.0] * 6)] * (count - len(rows)), dtype=torch.float64)


def warp(squares: Tensor, placements: Tensor, fill: float) -> Tensor:
    """Compose groups of N squares [G, N, C, S, S] into N pictures each, float32 [G, N, C, S, S]; the rest is filled with `fill`.

    A picture is composed of the squares that `source_squares` gives. Each pixel has one source. It is read from the square at full size and
    at half of it, and the two are blended by how much the square shrinks, which is read from y: the zooms in x and y are equal up to the
    sign. This prevents aliasing down to half the size; below that, fine patterns may alias.

    Args:
        squares: the sources.
        placements: [G, N, K, 8] where the K squares of each picture go, see `to_tensor`; their windows do not overlap.
        fill: what has no source.
    """
    number, side = squares.shape[1], squares.shape[-1]
    column, half_top = _column(squares, fill)
    width, height = column.shape[3], column.shape[2]
    zoom, shift, low, high = placements.unflatten(-1, (4, 2)).unsqueeze(-1).unbind(-3)  # each [G, N, K, 2, 1], of x and y
    pixels = torch.arange(side, device=squares.device)
    inside = ((pixels >= (low * side).round()) & (pixels < (high * side).round())).float()
    edge = (zoom * ((2 * pixels + 1) / side - 1) + shift + 1) * side / 2  # the source's distance from the edge of its square
    top = (source_squares(number, placements.shape[2], squares.device) * (height // number))[..., None]

    def look_up(level: int) -> Tensor:
        x, y = ((edge / 2**level - 0.5).clamp(-1, -(-side // 2**level)) + 1).unbind(-2)
        y = y + top + level * half_top
        grid = _grid(inside, 2 * x / (width - 1), 2 * y / (height - 1))
        return grid_sample(column, grid.flatten(1, 2), mode="bilinear", align_corners=True)

    in_x, in_y = inside.unbind(-2)
    half_weight = (in_y * (zoom[..., 1, :].abs() - 1).clamp(0, 1).float()).mT @ in_x
    warped = torch.lerp(look_up(0), look_up(1), half_weight.flatten(1, 2)[:, None])
    return warped.reshape(*warped.shape[:2], number, side, side).transpose(1, 2)


def source_squares(number: int, count: int, device: torch.device | None = None) -> Tensor:
    """[N, K] indices of the `count` squares that compose each picture of a group of `number`: its own, then the following ones, wrapped."""
    return (torch.arange(number, device=device)[:, None] + torch.arange(count, device=device)) % number


def _grid(inside: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The grid [G, N, S, S, 2] of the positions x and y [G, N, K, S], from 0, of the columns and rows of K windows.

    Outside of all windows it is (-1, -1), a pixel of the border. It is one product of matrices, because `torch.stack` of x and y takes
    longer.
    """
    in_x, in_y = inside.unbind(-2)
    zero, one = torch.zeros_like(in_x), torch.ones_like(in_y[..., :1, :])
    rows = torch.cat([in_y, in_y * y.float(), one], dim=-2)
    columns = [torch.stack([in_x * x.float(), zero], dim=-1), torch.stack([zero, in_x], dim=-1), -torch.stack([one, one], dim=-1)]
    grid = rows.mT @ torch.cat(columns, dim=-3).flatten(-2)
    return grid.reshape(*grid.shape[:-1], -1, 2)


def _column(squares: Tensor, fill: float) -> tuple[Tensor, int]:
    """The squares [G, N, C, S, S] below each other, each followed by itself at half its size, all with a border of `fill`.

    Returns:
        float32 [G, C, N * H, S + 2], and the first of the H rows of a square that is of its half.
    """
    groups, number, channels, side = squares.shape[:4]
    half = -(-side // 2)
    column = squares.new_full((groups, channels, number, side + half + 4, side + 2), fill, dtype=torch.float32)
    full = column[..., 1 : side + 1, 1 : side + 1]
    full[:] = squares.transpose(1, 2)
    halved = avg_pool2d(full.flatten(0, 2), 2, ceil_mode=True, count_include_pad=False)  # an odd last row is half as high
    column[..., side + 3 : side + 3 + half, 1 : half + 1] = halved.unflatten(0, (groups, channels, number))
    return column.flatten(2, 3), side + 2


def warp_boxes(
    boxes: Tensor, placements: Tensor, side: int, min_visible: float = 0.25, min_side: float = MIN_BOX_SIDE
) -> tuple[Tensor, Tensor]:
    """Move boxes [M, 4] (x0, y0, x1, y1; pixels of a square of `side`) as `warp` moves their pictures, and clip them to the window.

    Args:
        boxes: the boxes.
        placements: [M, 8] those of their pictures, see `to_tensor`; [1, 8] if all are of one picture.
        side: of the square in pixels.
        min_visible: a box is dropped if a smaller fraction of it is visible.
        min_side: a box is dropped if a side is shorter, in pixels.

    Returns:
        The boxes [K, 4] that are kept, and their indices [K] among the given ones.
    """
    zoom, shift, low, high = (part.repeat(1, 2) for part in placements.to(boxes.dtype).unflatten(-1, (4, 2)).unbind(1))
    moved = (((boxes / side * 2 - 1) - shift) / zoom + 1) / 2 * side
    corners = moved.unflatten(-1, (2, 2))
    moved = torch.cat([corners.amin(1), corners.amax(1)], dim=1)  # a mirror swaps left and right
    clipped = moved.clamp(low * side, high * side)
    sides, full = clipped[:, 2:] - clipped[:, :2], moved[:, 2:] - moved[:, :2]
    kept = (sides.amin(1) >= min_side) & (sides.prod(1) >= min_visible * full.prod(1))
    return clipped[kept], kept.nonzero().flatten()
