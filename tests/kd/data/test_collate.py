from itertools import product

import pytest
import torch

from kd.data.augment import AugmentConfig
from kd.data.collate import Sample, collate, first_occurrences, mosaic_groups
from kd.data.letterbox import Letterbox
from kd.data.placement import MIN_BOX_SIDE, warp_boxes
from kd.model.spec import Tap

SIDE, TAP = 32, Tap("backbone", 16)
STRONG = AugmentConfig(mosaic=0.5, flip=0.5, scale=0.3, translate=0.1, color=0.3)


def sample(index: int, is_labelled: bool = True) -> Sample:
    """A picture of one value, `index`, with `index` boxes."""
    corner = torch.arange(index)[:, None].float()
    boxes = torch.cat([corner, corner, corner + 16, corner + 8], dim=1)
    square = torch.full((3, SIDE, SIDE), index, dtype=torch.uint8)
    return Sample((2, index), square, Letterbox(1.0, 0, 0), boxes, torch.arange(index), is_labelled)


def test_every_four_in_a_row_are_a_group() -> None:
    assert mosaic_groups(range(6)) == [[0, 1, 2, 3], [4, 5, 4, 5]] and first_occurrences([[0, 1, 2, 3], [4, 5, 4, 5]]) == [0, 1, 2, 3, 4, 5]
    groups = mosaic_groups(range(3)) + mosaic_groups(range(3, 5))
    assert groups == [[0, 1, 2, 0], [3, 4, 3, 4]] and first_occurrences(groups) == [0, 1, 2, 4, 5]
    assert mosaic_groups(range(5, 6)) == [[5] * 4] and mosaic_groups(range(3, 3)) == []


def test_a_mosaic_shows_its_group_and_none_of_the_other_kind() -> None:
    samples = [sample(index, index < 6) for index in range(9)]
    maps = torch.arange(9.0)[:, None, None].expand(-1, 8, 8)
    batch = collate(samples, {TAP: maps}, AugmentConfig(mosaic=1.0), 0)
    assert batch.unlabelled == 3
    composed = batch.augment()
    expected = [{0, 1, 2, 3}] * 4 + [{4, 5}] * 2 + [{6, 7, 8}] * 3
    for values, found, own in zip(expected, composed.pictures, range(9), strict=True):
        corners = (found[:, row, column] * 255 for row, column in product((4, -4), (4, -4)))
        assert {round(float(corner.mean())) for corner in corners} == values
        assert round(float(found[0, 4, 4]) * 255) == own, "itself is first"
    assert float(composed.maps[TAP][8, 1, 1]) == pytest.approx(8.0)


def test_the_boxes_are_those_of_each_square_by_itself() -> None:
    samples = [sample(index) for index in (3, 0, 2, 7, 5)]
    for seed in range(5):
        batch = collate(samples, {}, STRONG, seed)
        mosaics = [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2], [4, 4, 4, 4]]
        expected = [
            [box.tolist(), int(samples[source].labels[index]), picture]
            for picture, (sources, rows) in enumerate(zip(mosaics, batch.placements, strict=True))
            for source, row in zip(sources, rows, strict=False)
            for box, index in zip(*warp_boxes(samples[source].boxes, row[None], SIDE), strict=True)
        ]
        found = [list(row) for row in zip(batch.boxes.tolist(), batch.labels.tolist(), batch.batch_index.tolist(), strict=True)]
        assert found == expected and len(found) > 5


def test_a_picture_without_mosaic_does_not_depend_on_its_batch() -> None:
    plain = AugmentConfig(flip=0.5, scale=0.3, translate=0.1, color=0.3)
    whole, alone = collate([sample(index) for index in range(5)], {}, plain, 0), collate([sample(3)], {}, plain, 0)
    assert torch.equal(whole.placements[3:4], alone.placements) and torch.equal(whole.colors[3:4], alone.colors)
    assert torch.equal(whole.boxes[whole.batch_index == 3], alone.boxes)
    assert not torch.equal(alone.placements, collate([sample(3)], {}, plain, 1).placements)


def test_boxes_are_moved_to_their_squares() -> None:
    positions = [Letterbox(0.5, 0, 8), Letterbox(2.0, 3, 0), Letterbox(0.7, 4, 1), Letterbox(0.1, 1, 1)]
    samples = [sample(index)._replace(position=position) for index, position in zip((2, 0, 3, 1), positions, strict=True)]
    batch = collate(samples, {}, AugmentConfig(), 0)
    expected = torch.cat([one.position.to_square(one.boxes) for one in samples if len(one.boxes)])
    kept = (expected[:, 2:] - expected[:, :2]).amin(dim=1) >= MIN_BOX_SIDE
    torch.testing.assert_close(batch.boxes, expected[kept])
    assert batch.batch_index.tolist() == [0, 0, 2, 2, 2]


def test_a_batch_without_boxes() -> None:
    batch = collate([sample(0), sample(0)], {}, STRONG, 0)
    assert batch.boxes.shape == (0, 4) and batch.labels.shape == batch.batch_index.shape == (0,)
