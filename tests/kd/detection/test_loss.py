from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.operators import count_operators
from kd.data.anchors import COCO_ANCHORS
from kd.data.batch import Batch
from kd.detection.decode import Candidates, candidate_priors, flatten_heads
from kd.detection.loss import IGNORE_IOU, DetectionLoss, overlapping_objects
from tests.kd.detection.loss_reference import random_batch, reference_assignment, reference_loss

SIDE, CLASSES = 64, 2
ANCHORS = {16: [(8.0, 8.0), (16.0, 8.0), (8.0, 16.0)], 32: [(32.0, 32.0), (48.0, 24.0), (24.0, 48.0)]}
Object = tuple[int, int, Sequence[float]]


def batch_of(*objects: Object, pictures: int = 2) -> Batch:
    """A batch of objects (picture, label, box)."""
    batch_index, labels = (torch.tensor([o[i] for o in objects], dtype=torch.int64) for i in (0, 1))
    boxes = torch.tensor([list(o[2]) for o in objects], dtype=torch.float32).reshape(-1, 4)
    return Batch(torch.zeros(pictures, 3, SIDE, SIDE), boxes, labels, batch_index, {})


def around(x: float, y: float, w: float, h: float) -> list[float]:
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def heads_of(fill: float = 0.0) -> dict[int, Tensor]:
    return {stride: torch.full((2, 3 * (5 + CLASSES), SIDE // stride, SIDE // stride), fill) for stride in ANCHORS}


def candidate_index(stride: int, anchor: int, row: int, column: int) -> int:
    """Index of a candidate."""
    cells = SIDE // stride
    finer = sum(3 * (SIDE // other) ** 2 for other in ANCHORS if other < stride)
    return finer + (anchor * cells + row) * cells + column


def assigned(batch: Batch) -> set[tuple[int, int, int]]:
    return {(*key, number) for key, number in reference_assignment(batch, ANCHORS, SIDE).items()}


def perfect_heads(objects: Sequence[Object]) -> dict[int, Tensor]:
    """Heads that predict exactly the objects, at all assigned candidates, and nothing else."""
    heads = heads_of()
    for head in heads.values():
        head.view(2, 3, 5 + CLASSES, *head.shape[2:])[:, :, 4] = -20
    for picture, candidate, number in assigned(batch_of(*objects)):
        stride = 16 if candidate < candidate_index(32, 0, 0, 0) else 32
        cells = SIDE // stride
        anchor, cell = divmod(candidate - candidate_index(stride, 0, 0, 0), cells * cells)
        row, column = divmod(cell, cells)
        _, label, (x0, y0, x1, y1) = objects[number]
        values = heads[stride].view(2, 3, 5 + CLASSES, cells, cells)[picture, anchor, :, row, column]
        values[0:2] = torch.tensor([(x0 + x1) / 2 / stride - column, (y0 + y1) / 2 / stride - row]).logit()
        values[2:4] = (torch.tensor([x1 - x0, y1 - y0]) / torch.tensor(ANCHORS[stride][anchor])).log()
        values[4:] = -20
        values[4] = values[5 + label] = 20
    return heads


def test_a_perfect_prediction_has_almost_no_loss() -> None:
    objects = [(0, 1, around(20, 23, 9, 9)), (1, 0, around(40, 40, 30, 34))]
    terms = DetectionLoss(ANCHORS)(flatten_heads(perfect_heads(objects), ANCHORS), batch_of(*objects))
    assert {name: float(term) for name, term in terms.items()} == pytest.approx({"box": 0, "objectness": 0, "class": 0}, abs=1e-4)


@pytest.mark.parametrize(("term", "channel"), [("box", 0), ("box", 2), ("class", 5), ("objectness", 4)])
def test_each_term_grows_with_its_own_error(term: str, channel: int) -> None:
    objects = [(0, 0, around(16, 16, 32, 32))]
    heads = perfect_heads(objects)
    heads[32].view(2, 3, 7, 2, 2)[0, 0, channel, 0, 0] -= {0: 3.0, 2: 1.0, 4: 25.0, 5: 25.0}[channel]
    terms = DetectionLoss(ANCHORS)(flatten_heads(heads, ANCHORS), batch_of(*objects))
    assert float(terms[term]) > 0.1


def test_a_background_candidate_that_overlaps_an_object_is_ignored() -> None:
    objects = [(0, 0, around(24, 24, 32, 32))]
    heads = perfect_heads(objects)
    loss = DetectionLoss(ANCHORS)
    before = float(loss(flatten_heads(heads, ANCHORS), batch_of(*objects))["objectness"])
    small = heads[16].view(2, 3, 7, 4, 4)[:, 0]  # the object is not assigned to an anchor of 8 x 8
    small[0, 2:4, 1, 1] = torch.tensor(4.0).log()
    small[0, 4, 1, 1] = 20  # but here it predicts the box of the object
    assert float(loss(flatten_heads(heads, ANCHORS), batch_of(*objects))["objectness"]) == pytest.approx(before, abs=1e-3)
    small[0, 4, 3, 3] = 20  # the same objectness at a position without an object
    assert float(loss(flatten_heads(heads, ANCHORS), batch_of(*objects))["objectness"]) > before + 1


def test_overlap_is_computed_per_picture() -> None:
    boxes = torch.tensor([around(16, 16, 32, 32), around(48, 48, 32, 32)]).repeat(2, 1, 1)
    overlaps = overlapping_objects(boxes, batch_of((1, 0, around(16, 17, 32, 32))))
    assert IGNORE_IOU < 0.9 and overlaps.tolist() == [[False, False], [True, False]]


def test_pictures_without_objects_train_objectness_only() -> None:
    heads = {stride: head.requires_grad_() for stride, head in heads_of().items()}
    terms = DetectionLoss(ANCHORS)(flatten_heads(heads, ANCHORS), batch_of())
    assert terms["box"].item() == terms["class"].item() == 0 < terms["objectness"].item() < float("inf")
    torch.stack(list(terms.values())).sum().backward()
    for stride, head in heads.items():
        gradient = head.grad.view(2, 3, 7, SIDE // stride, SIDE // stride)
        assert (gradient[:, :, 4] > 0).all() and gradient.isfinite().all()


def test_gradient_descent_fits_the_objects() -> None:
    torch.manual_seed(0)
    objects = [(0, 1, around(20, 23, 12, 9)), (1, 0, around(40, 40, 30, 34))]
    heads = {stride: torch.randn_like(head).requires_grad_() for stride, head in heads_of().items()}
    loss, batch = DetectionLoss(ANCHORS), batch_of(*objects)
    optimizer = torch.optim.Adam(heads.values(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        torch.stack(list(loss(flatten_heads(heads, ANCHORS), batch).values())).sum().backward()
        optimizer.step()
    found = flatten_heads(heads, ANCHORS)
    for picture, candidate, number in assigned(batch):
        _, label, box = objects[number]
        assert found.boxes[picture, candidate].tolist() == pytest.approx(box, abs=1.0)
        assert found.objectness[picture, candidate] > 2 and int(found.classes[picture, candidate].argmax()) == label


def test_pictures_without_labels_change_neither_the_loss_nor_its_gradient() -> None:
    """What the network finds there is neither object nor background."""
    generator = torch.Generator().manual_seed(0)
    objects = [(0, 1, around(20, 20, 16, 10)), (1, 0, around(40, 30, 30, 30))]
    heads = {stride: torch.randn(4, *head.shape[1:], generator=generator).requires_grad_() for stride, head in heads_of().items()}
    alone = {stride: head[:2].detach().clone().requires_grad_() for stride, head in heads.items()}
    loss = DetectionLoss(ANCHORS)
    mixed = loss(flatten_heads(heads, ANCHORS), batch_of(*objects, pictures=4)._replace(unlabelled=2))
    expected = loss(flatten_heads(alone, ANCHORS), batch_of(*objects))
    assert mixed == expected
    for terms in (mixed, expected):
        torch.stack(list(terms.values())).sum().backward()
    for stride, head in heads.items():
        assert torch.equal(head.grad[:2], alone[stride].grad) and not head.grad[2:].any() and head.grad[:2].any()


def inverse(boxes: Tensor, priors: Tensor) -> Tensor:
    """The raw predictions [N, 4] that decode to the boxes."""
    center = ((boxes[:, :2] + boxes[:, 2:]) / 2 / priors[:, 2:3] - priors[:, :2]).clamp(1e-3, 1 - 1e-3)
    return torch.cat([center.logit(), ((boxes[:, 2:] - boxes[:, :2]) / priors[:, 3:]).log()], dim=1)


LOSS = DetectionLoss(ANCHORS).double()


@pytest.mark.parametrize("side", [SIDE, 96])
@pytest.mark.parametrize("counts", [[0, 0], [3, 0, 1], [0, 60], [5, 1, 12, 0, 30]])
def test_values_and_gradients_are_those_of_loops(counts: list[int], side: int) -> None:
    """The same loss takes pictures of any size."""
    batch = random_batch(counts, CLASSES, side, len(counts), torch.float64)
    priors = candidate_priors(ANCHORS, side).double()
    raw = torch.randn(len(counts), len(priors), 5 + CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for number, picture in enumerate(batch.batch_index.tolist()):  # all candidates of the object's cell predict the object
        box = batch.boxes[number].expand(len(priors), 4)
        cell = ((box[:, :2] + box[:, 2:]) / 2 / priors[:, 2:3]).long()
        inside = (cell == priors[:, :2]).all(dim=1)
        raw[picture, inside, :4] = inverse(box, priors)[inside] + 0.02 * raw[picture, inside, :4]
    raw.requires_grad_()
    candidates = Candidates(raw, priors)
    assigned_ones = torch.tensor([key in reference_assignment(batch, ANCHORS, side) for key in np.ndindex(*raw.shape[:2])])
    ignored = overlapping_objects(candidates.boxes.detach(), batch).flatten() & ~assigned_ones
    assert ignored.any() or sum(counts) == 0
    terms, expected = LOSS(candidates, batch), reference_loss(candidates, batch, ANCHORS, side)
    torch.testing.assert_close(terms, expected, rtol=1e-11, atol=1e-11)
    for name in terms:
        if terms[name].requires_grad and expected[name].requires_grad:
            gradients = [torch.autograd.grad(found[name], raw, retain_graph=True)[0] for found in (terms, expected)]
            torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-11)


def test_the_number_of_operators_does_not_grow_with_the_batch_and_none_waits() -> None:
    anchors, side, calls = COCO_ANCHORS["yolov3"], 96, {}
    loss = DetectionLoss(anchors)
    for pictures in (8, 64):
        batch = random_batch([i % 7 for i in range(pictures)], 80, side, 0)
        heads = {stride: torch.randn(pictures, 3 * 85, side // stride, side // stride, requires_grad=True) for stride in anchors}
        candidates = loss.candidates(heads)
        calls[pictures], waiting = count_operators(lambda: loss(candidates, batch))  # noqa: B023
        assert waiting == []
        assert count_operators(lambda: torch.stack(list(loss(loss.candidates(heads), batch).values())).sum().backward())[1] == []  # noqa: B023
    assert calls[8] == calls[64] <= 300
