"""What the teacher detections is taught like labels, weighted by its objectness."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import complete_box_iou_loss, nms

from benchmarks.operators import count_operators
from kd.data.batch import Batch
from kd.detection.assignment import TargetAssigner
from kd.detection.decode import Candidates, flatten_heads
from kd.distillation.response_loss import CONFIDENCE, MAX_CANDIDATES, NMS_IOU, TeacherDetections, response_loss, teacher_detections
from tests.kd.detection.loss_reference import reference_assignment

ANCHORS = {32: [(20.0, 10.0), (6.0, 6.0), (31.0, 31.0)]}
SIDE, CLASSES = 64, 2


def head(objects: list[tuple[int, int, int, float, tuple[float, float]]]) -> dict[int, Tensor]:
    """Two pictures' heads in which anchor 0 of a cell (picture, row, column) detections its own shape: objectness, class logits."""
    raw = torch.zeros(2, 3, 5 + CLASSES, 2, 2)
    raw[:, :, 4] = -20
    for picture, row, column, objectness, classes in objects:
        raw[picture, 0, 4, row, column] = objectness
        raw[picture, 0, 5:, row, column] = torch.tensor(classes)
    return {32: raw.flatten(1, 2)}


def loss_of(heads: dict[int, Tensor], detections: TeacherDetections) -> Tensor:
    return response_loss(flatten_heads(heads, ANCHORS), TargetAssigner(ANCHORS), detections, SIDE)


def detected(heads: dict[int, Tensor]) -> TeacherDetections:
    return teacher_detections(flatten_heads(heads, ANCHORS))


def valid(detections: TeacherDetections) -> list[Tensor]:
    """The boxes, objectness and classes of the detections alone."""
    return [part[detections.valid] for part in detections[:3]]


def pictures_of(detections: TeacherDetections) -> list[int]:
    """The picture of each detection."""
    return detections.valid.nonzero()[:, 0].tolist()


SURE = head([(0, 0, 1, 20.0, (20.0, -20.0)), (1, 1, 0, 0.0, (-20.0, 20.0))])


@pytest.fixture
def detections() -> TeacherDetections:
    return detected(SURE)


def test_what_the_teacher_detects(detections: TeacherDetections) -> None:
    boxes, objectness, classes = valid(detections)
    assert pictures_of(detections) == [0, 1] and detections.valid[:, 0].all()
    torch.testing.assert_close(boxes, torch.tensor([[38.0, 11, 58, 21], [6, 43, 26, 53]]))
    torch.testing.assert_close(objectness, torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(classes, torch.eye(2))
    assert not detections.boxes.requires_grad


def test_duplicates_and_low_scores_are_no_detections() -> None:
    double = SURE[32].clone().view(2, 3, 5 + CLASSES, 2, 2)
    double[0, 1] = double[0, 0]
    double[0, 1, 2:4, 0, 1] = torch.tensor([math.log(20 / 6), math.log(10 / 6)])  # the second anchor in the first one's shape
    double[1, 0, 4, 1, 0] = -2.0
    assert pictures_of(detected({32: double.flatten(1, 2)})) == [0]


def test_the_loss_of_equal_detections_is_zero(detections: TeacherDetections) -> None:
    assert loss_of(SURE, detections) < 1e-4


def test_the_loss_is_the_mean_over_detections_weighted_by_their_objectness(detections: TeacherDetections) -> None:
    other = head([(0, 0, 1, 20.0, (0.0, 0.0)), (1, 1, 0, 0.0, (0.0, -20.0))])
    first, second = 2 * math.log(2), math.log(2) + 20
    expected = torch.tensor((1.0 * first + 0.5 * second) / 1.5)
    torch.testing.assert_close(loss_of(other, detections), expected, rtol=1e-4, atol=0)


def test_a_class_is_learned_as_a_probability() -> None:
    teacher = head([(0, 0, 1, 20.0, (1.0, -1.0))])
    detections = detected(teacher)
    torch.testing.assert_close(valid(detections)[2], torch.tensor([[1.0, -1.0]]).sigmoid())
    losses = [loss_of(head([(0, 0, 1, 20.0, (x, -x))]), detections) for x in (0.0, 1.0, 3.0)]
    assert losses[1] < losses[0] and losses[1] < losses[2]


def test_a_box_that_is_off_costs_its_complete_iou(detections: TeacherDetections) -> None:
    shifted = SURE[32].clone().view(2, 3, 5 + CLASSES, 2, 2)
    shifted[0, 0, 0, 0, 1] = math.log(0.625 / 0.375)  # the center moves by 4 pixels: IoU 16 / 24, distance 16 / (24^2 + 10^2)
    expected = (1 - 16 / 24 + 16 / 676) / 1.5
    found = loss_of({32: shifted.flatten(1, 2)}, detections)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_without_detections_the_loss_is_zero_and_differentiable() -> None:
    detections = detected(head([]))
    student = {32: SURE[32].clone().requires_grad_()}
    loss = loss_of(student, detections)
    loss.backward()
    assert loss == 0 and (student[32].grad == 0).all()


def test_only_the_student_learns() -> None:
    teacher, student = {32: SURE[32].clone().requires_grad_()}, {32: head([])[32].requires_grad_()}
    loss_of(student, detected(teacher)).backward()
    assert teacher[32].grad is None and student[32].grad.abs().sum() > 0


def test_pictures_do_not_suppress_each_other() -> None:
    both = head([(0, 0, 1, 20.0, (20.0, -20.0)), (1, 0, 1, 1.0, (20.0, -20.0))])
    found = detected(both)
    assert pictures_of(found) == [0, 1]
    torch.testing.assert_close(*valid(found)[0])


def crowd(pictures: int, anchors: dict[int, list[tuple[float, float]]], classes: int = 3, side: int = SIDE) -> dict[int, Tensor]:
    """Heads that detect many overlapping objects."""
    source = torch.Generator().manual_seed(1)
    return {
        stride: (torch.randn(pictures, 3, 5 + classes, side // stride, side // stride, generator=source) * 1.5).flatten(1, 2)
        for stride in anchors
    }


def test_detections_are_those_of_torchvisions_suppression() -> None:
    anchors = {16: [(20.0, 10.0), (24.0, 30.0), (31.0, 31.0)], 32: [(40.0, 40.0), (50.0, 30.0), (30.0, 50.0)]}
    candidates = flatten_heads(crowd(4, anchors), anchors)
    found = teacher_detections(candidates)
    scores = candidates.objectness.sigmoid() * candidates.classes.sigmoid().amax(dim=2)
    for picture in range(4):
        confident = (scores[picture] > CONFIDENCE).nonzero().flatten()
        kept = confident[nms(candidates.boxes[picture, confident], scores[picture, confident], NMS_IOU)]
        assert 1 < len(kept) < len(confident) <= MAX_CANDIDATES
        everything = candidates.boxes, candidates.objectness.sigmoid(), candidates.classes.sigmoid()
        for part, expected in zip(found[:3], everything, strict=True):
            torch.testing.assert_close(part[picture, found.valid[picture]], expected[picture, kept])


def test_the_number_of_operators_does_not_grow_with_the_batch_and_none_waits() -> None:
    calls = {}
    for pictures in (8, 64):
        teacher = flatten_heads(crowd(pictures, ANCHORS), ANCHORS)
        student = teacher._replace(raw=teacher.raw.clone().requires_grad_())
        assign = TargetAssigner(ANCHORS)
        calls[pictures], waiting = count_operators(lambda: response_loss(student, assign, teacher_detections(teacher), SIDE).backward())  # noqa: B023
        assert waiting == []
    assert calls[8] == calls[64]


@pytest.mark.parametrize("side", [SIDE, 96])
def test_the_loss_is_that_of_a_loop_over_the_pairs_of_detections_and_candidates(side: int) -> None:
    anchors = {16: [(20.0, 10.0), (24.0, 30.0), (31.0, 31.0)], 32: [(40.0, 40.0), (50.0, 30.0), (30.0, 50.0)]}
    teacher = flatten_heads(crowd(4, anchors, side=side), anchors)
    raw = torch.randn(teacher.raw.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64).requires_grad_()
    student, found = Candidates(raw, teacher.priors.double()), teacher_detections(Candidates(teacher.raw.double(), teacher.priors.double()))
    boxes, objectness, classes = valid(found)
    objects = Batch(torch.zeros(4, 3, side, side), boxes, classes.argmax(dim=1), torch.tensor(pictures_of(found)), {})
    total, weights = raw.new_zeros(()), raw.new_zeros(())
    for (picture, candidate), number in reference_assignment(objects, anchors, side).items():
        box = complete_box_iou_loss(student.boxes[picture, candidate], boxes[number])
        logits = student.classes[picture, candidate]
        total = total + objectness[number] * (box + binary_cross_entropy_with_logits(logits, classes[number], reduction="sum"))
        weights = weights + objectness[number]
    losses = response_loss(student, TargetAssigner(anchors).double(), found, side), total / weights
    torch.testing.assert_close(*losses, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(*(torch.autograd.grad(loss, raw)[0] for loss in losses), rtol=1e-10, atol=1e-11)
