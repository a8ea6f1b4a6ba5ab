from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate

from kd.data.placement import Placement, to_tensor, warp, warp_boxes
from tests.kd.data.augmented import compose

SIDE = 64
WHOLE = (0.0, 0.0, 1.0, 1.0)

zooms = st.floats(0.6, 1.6)
shifts = st.floats(-0.6, 0.6)
windows = st.sampled_from([WHOLE, (0.0, 0.0, 0.4, 0.6), (0.4, 0.0, 1.0, 0.6), (0.4, 0.6, 1.0, 1.0)])
placements = st.builds(
    lambda x, y, mirror, right, down, window: Placement(0, (-x if mirror else x, y), (right, down), window),
    *(zooms, zooms, st.booleans(), shifts, shifts, windows),
)


def filled(box: tuple[int, int, int, int]) -> Tensor:
    picture = torch.zeros(1, SIDE, SIDE)
    picture[:, box[1] : box[3], box[0] : box[2]] = 1
    return picture


def extent(picture: Tensor) -> list[float]:
    rows, columns = (picture[0] > 0.5).nonzero(as_tuple=True)
    return [float(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


@given(placements, st.integers(0, 40), st.integers(0, 40), st.integers(10, 24), st.integers(10, 24))
def test_a_box_moves_like_the_picture(placement: Placement, x: int, y: int, width: int, height: int) -> None:
    box = (x, y, min(x + width, SIDE), min(y + height, SIDE))
    moved, kept = warp_boxes(torch.tensor([box]).float(), to_tensor([placement], 1), SIDE, min_visible=0, min_side=4)
    if len(kept):
        assert moved[0].tolist() == pytest.approx(extent(compose([filled(box)], [placement], 0.0)), abs=1.3)


def test_the_identity_is_exact() -> None:
    picture, boxes = torch.rand(3, SIDE, SIDE), torch.tensor([[3.0, 5.0, 20.0, 64.0]])
    torch.testing.assert_close(compose([picture], [Placement(0)], 0.5), picture, rtol=0, atol=1e-4)
    moved, kept = warp_boxes(boxes, to_tensor([Placement(0)], 1), SIDE)
    assert torch.allclose(moved, boxes) and kept.tolist() == [0]


def test_a_mirror_flips_picture_and_boxes() -> None:
    picture, mirror = torch.rand(3, SIDE, SIDE), Placement(0, zoom=(-1.0, 1.0))
    torch.testing.assert_close(compose([picture], [mirror], 0.5), picture.flip(2), rtol=0, atol=1e-4)
    moved, _ = warp_boxes(torch.tensor([[3.0, 5.0, 20.0, 30.0]]), to_tensor([mirror], 1), SIDE)
    assert moved[0].tolist() == pytest.approx([44, 5, 61, 30], abs=1e-4)


@given(placements)
def test_a_map_of_13_cells_moves_like_its_picture(placement: Placement) -> None:
    ramp = torch.linspace(0, 1, 104)
    picture = (ramp[None, :] + 2 * ramp[:, None])[None]
    ones = torch.ones(1, 104, 104)
    small = compose([avg_pool2d(picture, 8)], [placement], -1.0)
    large = avg_pool2d(compose([picture], [placement], -1.0), 8)
    # compare cells with a source inside the map and pixels inside the window
    inner = torch.zeros(1, 13, 13)
    inner[:, 1:-1, 1:-1] = 1
    window = avg_pool2d(compose([ones], [Placement(0, window=placement.window)], 0.0), 8)
    compared = (compose([inner], [placement], 0.0) > 0.999) & (window > 0.999) & (small != -1)
    torch.testing.assert_close(small[compared], large[compared], rtol=0, atol=1e-3)


@given(st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.sampled_from([13, 26, 64]))
def test_windows_that_share_an_edge_leave_no_gap(x: float, y: float, side: int) -> None:
    windows = [(0.0, 0.0, x, y), (x, 0.0, 1.0, y), (0.0, y, x, 1.0), (x, y, 1.0, 1.0)]
    tiles = [torch.full((1, side, side), float(k)) for k in range(1, 5)]
    mosaic = compose(tiles, [Placement(k, zoom=(0.5, 0.5), window=window) for k, window in enumerate(windows)], 0.0)
    assert set(mosaic.round(decimals=3).unique().tolist()) <= {1.0, 2.0, 3.0, 4.0}
    assert mosaic[0, 0, 0] == 1 and mosaic[0, -1, -1] == 4


@pytest.mark.parametrize("size", [0.8, 0.6, 0.4, 0.3])
@pytest.mark.parametrize("side", [64, 75])
def test_a_picture_that_shrinks_is_not_aliased(size: float, side: int) -> None:
    """In a picture of noise all frequencies are equally strong."""
    picture = torch.rand(1, side, side, generator=torch.Generator().manual_seed(0))
    small = round(size * side / 2) * 2 + side % 2
    first = (side - small) // 2
    inner = slice(first + 2, first + small - 2)
    warped = compose([picture], [Placement(0, zoom=(side / small, side / small))], 0.5)[0, inner, inner]
    smooth, aliased = (
        interpolate(picture[None], (small, small), mode="bilinear", antialias=smoothed)[0, 0, 2:-2, 2:-2] for smoothed in (True, False)
    )
    assert (warped - smooth).abs().mean() < 0.75 * (aliased - smooth).abs().mean()


def test_pixels_without_a_source_are_filled() -> None:
    out = compose([torch.ones(3, SIDE, SIDE)], [Placement(0, zoom=(2.0, 2.0))], 0.5)
    assert (out[:, :15] == 0.5).all() and (out[:, 17:47, 17:47] == 1).all()
    half = compose([torch.ones(3, SIDE, SIDE)], [Placement(0, window=(0.0, 0.0, 0.5, 1.0))], 0.25)
    assert (half[:, :, 32:] == 0.25).all()


@pytest.mark.parametrize(
    ("box", "survives"),
    [((-30.0, 0.0, 10.0, 20.0), True), ((-31.0, 0.0, 9.0, 20.0), False), ((64.0, 0.0, 90.0, 20.0), False), ((0.0, 0.0, 1.5, 9.0), False)],
)
def test_a_box_is_kept_if_enough_of_it_is_visible(box: tuple[float, ...], survives: bool) -> None:
    boxes = torch.tensor([[10.0, 10.0, 30.0, 30.0], box])
    moved, kept = warp_boxes(boxes, to_tensor([Placement(0)], 1), SIDE, min_visible=0.25, min_side=2)
    assert kept.tolist() == ([0, 1] if survives else [0])
    assert float(moved.min()) >= 0 and float(moved.max()) <= SIDE


def test_an_empty_list_of_boxes_stays_empty() -> None:
    moved, kept = warp_boxes(torch.empty(0, 4), to_tensor([Placement(0, zoom=(-0.5, 0.5))], 1), SIDE)
    assert moved.shape == (0, 4) and kept.shape == (0,)


corners = st.builds(
    lambda x, y: [(0.0, 0.0, x, y), (x, 0.0, 1.0, y), (0.0, y, x, 1.0), (x, y, 1.0, 1.0)], *(st.floats(0.2, 0.8), st.floats(0.2, 0.8))
)


@given(st.lists(placements, min_size=16, max_size=16), corners, st.sampled_from([5, 16, 33]))
def test_a_group_is_warped_as_torchs_affine_grid_would_each_square(
    drawn: list[Placement], windows: list[tuple[float, float, float, float]], side: int
) -> None:
    """What shrinks is interpolated between full and half size."""
    rows = [[replace(p, window=w) for p, w in zip(drawn[4 * n : 4 * n + 4], windows, strict=True)] for n in range(4)]
    squares = torch.rand(1, 4, 2, side, side, generator=torch.Generator().manual_seed(0))
    warped = warp(squares, torch.stack([to_tensor(row, 4) for row in rows])[None], 0.5)[0]
    for number, (row, found) in enumerate(zip(rows, warped, strict=True)):
        expected = torch.full((2, side, side), 0.5)
        for k, placement in enumerate(row):
            x0, y0, x1, y1 = (round(edge * side) for edge in placement.window)
            square = squares[0, (number + k) % 4]
            full, half = (by_affine_grid(square, placement, level) for level in (1, 2))
            whole = torch.lerp(full, half, min(max(placement.zoom[1] - 1, 0), 1))
            expected[:, y0:y1, x0:x1] = whole[:, y0:y1, x0:x1]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def by_affine_grid(square: Tensor, placement: Placement, factor: int) -> Tensor:
    """The whole square, read at 1 / `factor` of its size; what is around it is 0.5."""
    side = square.shape[-1]
    read = avg_pool2d(square - 0.5, factor, ceil_mode=True, count_include_pad=False)
    ratio = side / (read.shape[-1] * factor)  # below 1 if the last row is of fewer pixels
    (zoom_x, zoom_y), (shift_x, shift_y) = placement.zoom, placement.shift
    theta = torch.tensor([[[zoom_x * ratio, 0, (shift_x + 1) * ratio - 1], [0, zoom_y * ratio, (shift_y + 1) * ratio - 1]]])
    grid = affine_grid(theta, [1, 2, side, side], align_corners=False)
    return grid_sample(read[None], grid, align_corners=False)[0] + 0.5


def test_a_picture_may_have_fewer_squares_than_its_group() -> None:
    squares = torch.rand(1, 4, 3, 16, 16)
    rows = torch.stack([to_tensor([Placement(0)], 2)] * 4)[None]
    torch.testing.assert_close(warp(squares, rows, 0.5), squares, rtol=0, atol=1e-4)
