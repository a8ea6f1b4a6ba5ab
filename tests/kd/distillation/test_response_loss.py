"""What the teacher detections is taught like labels, weighted by its objectness."""

import math

import pytest
import torch
from torch import Tensor

from kd.data.loader import Batch
from kd.detection.decode import flatten_heads
from kd.distillation.response_loss import TeacherDetections, response_loss, teacher_detections

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
    return response_loss(flatten_heads(heads, ANCHORS), ANCHORS, SIDE, detections)


SURE = head([(0, 0, 1, 20.0, (20.0, -20.0)), (1, 1, 0, 0.0, (-20.0, 20.0))])


@pytest.fixture
def pictures() -> Batch:
    none = torch.zeros(0, dtype=torch.int64)
    return Batch(torch.zeros(2, 3, SIDE, SIDE), torch.zeros(0, 4), none, none, {})


@pytest.fixture
def detections(pictures: Batch) -> TeacherDetections:
    return teacher_detections(SURE, ANCHORS, pictures)


def test_what_the_teacher_detects(detections: TeacherDetections) -> None:
    torch.testing.assert_close(detections.objects.boxes, torch.tensor([[38.0, 11, 58, 21], [6, 43, 26, 53]]))
    assert detections.objects.labels.tolist() == [0, 1] and detections.objects.batch_index.tolist() == [0, 1]
    torch.testing.assert_close(detections.objectness, torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(detections.classes, torch.eye(2))
    assert not detections.objects.boxes.requires_grad


def test_duplicates_and_low_scores_are_no_detections(pictures: Batch) -> None:
    double = SURE[32].clone().view(2, 3, 5 + CLASSES, 2, 2)
    double[0, 1] = double[0, 0]
    double[0, 1, 2:4, 0, 1] = torch.tensor([math.log(20 / 6), math.log(10 / 6)])  # the second anchor in the first one's shape
    double[1, 0, 4, 1, 0] = -2.0
    assert teacher_detections({32: double.flatten(1, 2)}, ANCHORS, pictures).objects.batch_index.tolist() == [0]


def test_the_loss_of_equal_detections_is_zero(detections: TeacherDetections) -> None:
    assert loss_of(SURE, detections) < 1e-4


def test_the_loss_is_the_mean_over_detections_weighted_by_their_objectness(detections: TeacherDetections) -> None:
    other = head([(0, 0, 1, 20.0, (0.0, 0.0)), (1, 1, 0, 0.0, (0.0, -20.0))])
    first, second = 2 * math.log(2), math.log(2) + 20
    expected = torch.tensor((1.0 * first + 0.5 * second) / 1.5)
    torch.testing.assert_close(loss_of(other, detections), expected, rtol=1e-4, atol=0)


def test_a_class_is_learned_as_a_probability(pictures: Batch) -> None:
    teacher = head([(0, 0, 1, 20.0, (1.0, -1.0))])
    detections = teacher_detections(teacher, ANCHORS, pictures)
    torch.testing.assert_close(detections.classes, torch.tensor([[1.0, -1.0]]).sigmoid())
    losses = [loss_of(head([(0, 0, 1, 20.0, (x, -x))]), detections) for x in (0.0, 1.0, 3.0)]
    assert losses[1] < losses[0] and losses[1] < losses[2]


def test_a_box_that_is_off_costs_its_complete_iou(detections: TeacherDetections) -> None:
    shifted = SURE[32].clone().view(2, 3, 5 + CLASSES, 2, 2)
    shifted[0, 0, 0, 0, 1] = math.log(0.625 / 0.375)  # the center moves by 4 pixels: IoU 16 / 24, distance 16 / (24^2 + 10^2)
    expected = (1 - 16 / 24 + 16 / 676) / 1.5
    found = loss_of({32: shifted.flatten(1, 2)}, detections)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_without_detections_the_loss_is_zero_and_differentiable(pictures: Batch) -> None:
    detections = teacher_detections(head([]), ANCHORS, pictures)
    student = {32: SURE[32].clone().requires_grad_()}
    loss = loss_of(student, detections)
    loss.backward()
    assert loss == 0 and (student[32].grad == 0).all()


def test_only_the_student_learns(pictures: Batch) -> None:
    teacher, student = {32: SURE[32].clone().requires_grad_()}, {32: head([])[32].requires_grad_()}
    loss_of(student, teacher_detections(teacher, ANCHORS, pictures)).backward()
    assert teacher[32].grad is None and student[32].grad.abs().sum() > 0


def test_pictures_do_not_suppress_each_other(pictures: Batch) -> None:
    both = head([(0, 0, 1, 20.0, (20.0, -20.0)), (1, 0, 1, 1.0, (20.0, -20.0))])
    found = teacher_detections(both, ANCHORS, pictures)
    assert sorted(found.objects.batch_index.tolist()) == [0, 1]
    torch.testing.assert_close(found.objects.boxes[0], found.objects.boxes[1])
