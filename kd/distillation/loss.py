"""The distillation loss, which a distillation adds to the detection loss:

L = lambda(t) * (alpha * sum_backbone L_tap + beta * sum_neck L_tap)  [+ response * L_response]
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from kd.data.batch import Batch
from kd.detection.assignment import TargetAssigner
from kd.detection.decode import Candidates, PriorCache, flatten_heads
from kd.distillation.adapter import Adapter
from kd.distillation.channel_loss import channel_loss
from kd.distillation.feature_loss import feature_loss
from kd.distillation.response_loss import response_loss, teacher_detections
from kd.distillation.statistics import ChannelStatistics, Statistics
from kd.distillation.tap_pairs import TapPair
from kd.model.spec import ModelSpec, Output, Tap

TapLoss = Callable[[Tensor, Tensor, Tensor, ChannelStatistics], Tensor]
"""From the adapted feature of the student, the teacher's feature, the information map and the channel statistics to a scalar."""
TAP_LOSSES: dict[str, TapLoss] = {"features": feature_loss, "channels": channel_loss}


@dataclass(frozen=True)
class DistillConfig:
    """What is distilled, and how it is weighted; see the section `distill` of `params.yaml`. `loss` is a key of `TAP_LOSSES`."""

    taps: tuple[str, ...] = ("backbone", "neck")
    strides: tuple[int, ...] = (8, 16, 32)
    loss: str = "features"
    weight: float = 1.0
    backbone: float = 1.0
    neck: float = 1.0
    schedule: str = "constant"
    response: float = 0.0
    unlabelled: float = 0.5

    def weight_at(self, progress: float) -> float:
        """lambda(t) at `progress` 0..1 of the training."""
        decay = {"constant": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}
        return self.weight * decay[self.schedule]


class DistillationLoss(nn.Module):
    """Compares the student's features and predictions with the teacher's. Its parameters are the adapters.

    `tap_loss` is the loss of one tap, in place of the one that `config` names.
    """

    def __init__(
        self,
        pairs: list[TapPair],
        statistics: Statistics,
        config: DistillConfig,
        teacher: ModelSpec,
        student: ModelSpec,
        tap_loss: TapLoss | None = None,
    ) -> None:
        super().__init__()
        self.pairs, self.statistics, self.config = pairs, statistics, config
        self.teacher_priors, self.assign = PriorCache(teacher.anchors), TargetAssigner(student.anchors)
        self.tap_loss = tap_loss or TAP_LOSSES[config.loss]
        self.adapters = nn.ModuleDict(
            {str(pair.teacher): Adapter(pair.channels, len(statistics[pair.teacher].mean), pair.upscale_factor) for pair in pairs}
        )

    def forward(
        self, student: Output, predictions: Candidates, teacher: Output, maps: dict[Tap, Tensor], batch: Batch, progress: float
    ) -> dict[str, Tensor]:
        """The weighted terms by name, from the outputs of student and teacher for a batch and the student's `predictions` in it.

        `maps` are the information maps [B, H, W] of the teacher's taps, and `progress` is that of the training, 0..1.
        """
        student_features, teacher_features = student.taps(), teacher.taps()
        shares = {"backbone": self.config.backbone, "neck": self.config.neck}
        terms = {}
        for pair in self.pairs:
            tap = pair.teacher
            adapted = self.adapters[str(tap)](student_features[pair.student])
            loss = self.tap_loss(adapted, teacher_features[tap], maps[tap], self.statistics[tap])
            terms[f"distill_{tap}"] = self.config.weight_at(progress) * shares[tap.part] * loss
        if self.config.response:
            priors = self.teacher_priors
            detections = teacher_detections(flatten_heads(teacher.heads, priors.anchors, priors.get(teacher.heads)))
            loss = response_loss(predictions, self.assign, detections, batch.pictures.shape[-1])
            terms["distill_response"] = self.config.response * loss
        return terms
