import pytest
import torch

from kd.data.batch import Batch
from kd.detection.assignment import SHAPE_IOU, TargetAssigner, shape_iou
from tests.kd.detection.loss_reference import random_batch, reference_assignment
from tests.kd.detection.test_loss import ANCHORS, SIDE, around, batch_of, candidate_index

ASSIGN = TargetAssigner(ANCHORS)


def pairs(batch: Batch, valid: torch.Tensor | None = None) -> list[tuple[int, int, int]]:
    """The (picture, candidate, object) that are trained."""
    found = ASSIGN(batch.boxes, batch.batch_index, len(batch.pictures), SIDE, valid)
    return [tuple(row[:3]) for row in zip(*(part.tolist() for part in found), strict=True) if row[3]]


def assigned(batch: Batch) -> set[tuple[int, int, int]]:
    return set(pairs(batch))


def test_an_object_is_assigned_to_the_cell_of_its_center_at_anchors_of_its_shape() -> None:
    found = assigned(batch_of((1, 0, around(40, 20, 8, 8))))
    shapes = {
        (stride, a): (min(8, w) * min(8, h)) / (64 + w * h - min(8, w) * min(8, h))
        for stride in ANCHORS
        for a, (w, h) in enumerate(ANCHORS[stride])
    }
    similar = {key for key, overlap in shapes.items() if overlap > SHAPE_IOU}
    assert (16, 0) in similar
    assert found == {(1, candidate_index(stride, anchor, 20 // stride, 40 // stride), 0) for stride, anchor in similar}


def test_an_object_of_any_shape_is_assigned_to_the_most_similar_anchor() -> None:
    assert assigned(batch_of((0, 0, around(32, 5, 60, 3)))) == {(0, candidate_index(16, 1, 0, 2), 0)}


def test_a_center_on_the_far_edge_belongs_to_the_last_cell() -> None:
    assert {c for _, c, _ in assigned(batch_of((0, 0, [48.0, 48.0, 80.0, 80.0])))} >= {candidate_index(32, 0, 1, 1)}


def test_a_candidate_keeps_the_object_of_the_most_similar_shape() -> None:
    overlapping = batch_of((0, 0, around(20, 20, 28, 28)), (0, 1, around(20, 20, 32, 32)), (1, 0, around(20, 20, 28, 28)))
    objects = {(p, c): o for p, c, o in assigned(overlapping)}
    assert objects[0, candidate_index(32, 0, 0, 0)] == 1 and objects[1, candidate_index(32, 0, 0, 0)] == 2
    assert len(objects) == len(pairs(overlapping))


def test_equal_objects_do_not_share_a_candidate() -> None:
    duplicates = pairs(batch_of((0, 0, around(20, 20, 8, 8)), (0, 1, around(20, 20, 8, 8))))
    assert len({candidate for _, candidate, _ in duplicates}) == len(duplicates) and {number for *_, number in duplicates} == {0}


def test_shape_iou_depends_on_the_sides_only() -> None:
    assert shape_iou(torch.tensor([[10.0, 10.0]]), torch.tensor([[10.0, 10.0], [5.0, 20.0], [20.0, 20.0]])).tolist() == [
        pytest.approx([1, 50 / 150, 0.25])
    ]


@pytest.mark.parametrize("side", [SIDE, 96])
@pytest.mark.parametrize("counts", [[0, 0], [3, 0, 1], [0, 90], [5, 1, 12, 0, 30]])
def test_random_objects_are_assigned_as_by_loops(counts: list[int], side: int) -> None:
    batch = random_batch(counts, 2, side, len(counts), torch.float64)
    found = TargetAssigner(ANCHORS).double()(batch.boxes, batch.batch_index, len(counts), side)
    trained = [row for row in zip(*(part.tolist() for part in found), strict=True) if row[3]]
    assert {(p, c): o for p, c, o, _ in trained} == reference_assignment(batch, ANCHORS, side)
    assert len({(p, c) for p, c, *_ in trained}) == len(trained)


def test_a_box_that_is_not_valid_takes_no_candidate() -> None:
    batch = batch_of((0, 0, around(20, 20, 32, 32)), (0, 0, around(20, 20, 28, 28)), (1, 0, [0, 0, 0, 0]))
    only = batch_of((0, 0, around(20, 20, 28, 28)))
    found = pairs(batch, torch.tensor([False, True, False]))
    assert {number for *_, number in found} == {1}
    assert {(p, c) for p, c, _ in found} == {(p, c) for p, c, _ in pairs(only)}
