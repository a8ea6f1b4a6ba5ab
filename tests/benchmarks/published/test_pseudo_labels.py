"""Pseudo labels: the detection loss with the teacher's boxes as labels."""

import pytest
import torch

from benchmarks.published.pseudo_labels import PseudoLabelLoss
from kd.data.batch import Batch
from kd.detection.decode import flatten_heads
from kd.detection.loss import DetectionLoss
from kd.distillation.response_loss import teacher_detections
from kd.model.build import build_model
from kd.model.spec import Output
from tests.kd.train.squares import SIDE, spec_for

TEACHER, STUDENT = spec_for("yolov3"), spec_for()


@pytest.fixture
def outputs() -> tuple[Output, Output]:
    """Of teacher and student for five pictures; the teacher detects objects in all of them."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(5, 3, SIDE, SIDE, generator=generator)
    with torch.no_grad():
        teacher, student = (build_model(spec, 0).eval()(pictures) for spec in (TEACHER, STUDENT))
    for head in teacher.heads.values():
        head.view(5, 3, -1, *head.shape[2:])[:, :, 4] = torch.randn(5, 3, *head.shape[2:], generator=generator) * 2
    return teacher, student


def test_it_is_the_detection_loss_with_the_teachers_boxes(outputs: tuple[Output, Output], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.published.pseudo_labels.CONFIDENCE", 0.2)  # that of `teacher_detections`
    teacher, student = outputs
    predictions = flatten_heads(student.heads, STUDENT.anchors)
    own = torch.tensor([[1.0, 1.0, 20.0, 20.0]]), torch.tensor([0]), torch.tensor([1])
    batch = Batch(torch.zeros(5, 3, SIDE, SIDE), *own, {}, unlabelled=3)
    terms = PseudoLabelLoss(TEACHER, STUDENT)(student, predictions, teacher, {}, batch, 0.0)

    found = teacher_detections(flatten_heads({stride: head[2:] for stride, head in teacher.heads.items()}, TEACHER.anchors)).objects()
    assert len(found[0]) > 3
    alone = flatten_heads({stride: head[2:] for stride, head in student.heads.items()}, STUDENT.anchors)
    expected = DetectionLoss(STUDENT.anchors)(alone, Batch(batch.pictures[2:], *found, {}))
    for name, term in expected.items():
        torch.testing.assert_close(terms[f"distill_pseudo_{name}"], term)


def test_only_confident_detections_are_labels(outputs: tuple[Output, Output], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.published.pseudo_labels.CONFIDENCE", 0.999)
    teacher, student = outputs
    nothing = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    batch = Batch(torch.zeros(5, 3, SIDE, SIDE), *nothing, {}, unlabelled=5)
    predictions = flatten_heads(student.heads, STUDENT.anchors)
    terms = PseudoLabelLoss(TEACHER, STUDENT)(student, predictions, teacher, {}, batch, 0.0)
    assert terms["distill_pseudo_box"] == 0 and terms["distill_pseudo_objectness"] > 0


def test_without_such_pictures_there_are_no_terms(outputs: tuple[Output, Output]) -> None:
    teacher, student = outputs
    batch = Batch(torch.zeros(5, 3, SIDE, SIDE), torch.zeros(0, 4), torch.zeros(0), torch.zeros(0), {})
    predictions = flatten_heads(student.heads, STUDENT.anchors)
    assert PseudoLabelLoss(TEACHER, STUDENT)(student, predictions, teacher, {}, batch, 0.0) == {}
