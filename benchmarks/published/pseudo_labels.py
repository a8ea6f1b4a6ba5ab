"""Pseudo labels: the teacher's boxes are labels of the pictures without labels.

Sohn, Zhang, Li, Zhang, Lee, Pfister, "A Simple Semi-Supervised Learning Framework for Object Detection" (STAC), 2020. As there, the
detections above a confidence are labels like any others. Unlike there, the teacher sees the augmented picture, as in our
distillation, and the student sees the same picture and not a more augmented one, so that only the loss differs.
"""

import torch
from torch import Tensor, nn

from kd.data.batch import Batch
from kd.detection.decode import Candidates, flatten_heads
from kd.detection.loss import DetectionLoss
from kd.distillation.response_loss import teacher_detections
from kd.distillation.setup import Distillation
from kd.model.build import Network
from kd.model.freeze import freeze
from kd.model.spec import ModelSpec, Output, Tap

CONFIDENCE = 0.5
"""Lower bound of the scores of detections that become labels."""


class PseudoLabelLoss(nn.Module):
    """The detection loss of the student on the pictures without labels; it has no parameters."""

    def __init__(self, teacher: ModelSpec, student: ModelSpec) -> None:
        super().__init__()
        self.teacher, self.loss = teacher, DetectionLoss(student.anchors)

    def forward(
        self, student: Output, predictions: Candidates, teacher: Output, maps: dict[Tap, Tensor], batch: Batch, progress: float
    ) -> dict[str, Tensor]:
        """The terms of the detection loss by name; arguments as those of `kd.distillation.loss.DistillationLoss`."""
        if not batch.unlabelled:
            return {}
        first = len(batch.pictures) - batch.unlabelled
        candidates = flatten_heads({stride: head[first:] for stride, head in teacher.heads.items()}, self.teacher.anchors)
        found = teacher_detections(candidates)
        confident = found.objectness * found.classes.amax(dim=2) > CONFIDENCE
        labelled = Batch(batch.pictures[first:], *found._replace(valid=found.valid & confident).objects(), {})
        terms = self.loss(predictions._replace(raw=predictions.raw[first:]), labelled)
        return {f"distill_pseudo_{name}": term for name, term in terms.items()}


def build_pseudo_labels(
    teacher: Network,
    teacher_spec: ModelSpec,
    share: float,
    student: Network,
    student_spec: ModelSpec,
    pictures: int,
    dtype: torch.dtype | None,
    seed: int,
) -> Distillation:
    """What a training step needs for pseudo labels; `share` is that of the pictures without labels in a batch.

    The other arguments are those of `kd.distillation.setup.build_distillation`; `pictures` and `seed` are not used.
    """
    frozen = freeze(teacher.to(next(student.parameters()).device), dtype)
    loss = PseudoLabelLoss(teacher_spec, student_spec)
    return Distillation(frozen, tuple(teacher_spec.anchors), None, lambda batch, output: {}, loss, share)
