"""The one term that a distillation adds to a detection run:

lambda(t) * (alpha * sum_backbone L_tap + beta * sum_neck L_tap)  [+ response * L_response]
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kd.data.loader import Batch
from kd.detection.decode import Candidates
from kd.distillation.cartographer import Cartographer, Statistics
from kd.distillation.channels import ChannelLoss
from kd.distillation.feature import FeatureLoss
from kd.distillation.pairing import Partner, stride_of
from kd.distillation.response import response_loss, teacher_finds
from kd.model.build import Network
from kd.model.spec import ModelSpec, Output

TapLoss = Callable[[int, int, Tensor, Tensor], nn.Module]
"""Makes the loss of a tap from what `Adapted` takes; the module is called as that one is."""
LOSSES: dict[str, TapLoss] = {"features": FeatureLoss, "channels": ChannelLoss}


@dataclass(frozen=True)
class Distill:
    """What of the teacher is taught, and how hard; see the section `distill` of `params.yaml`. `loss` is a key of `LOSSES`."""

    taps: tuple[str, ...] = ("backbone", "neck")
    strides: tuple[int, ...] = (8, 16, 32)
    loss: str = "features"
    weight: float = 1.0
    backbone: float = 1.0
    neck: float = 1.0
    schedule: str = "constant"
    response: float = 0.0

    def at(self, progress: float) -> float:
        """lambda(t) at `progress` 0..1 of the training."""
        decay = {"constant": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}
        return self.weight * decay[self.schedule]


class Teaching(nn.Module):
    """Runs the frozen teacher on the student's pictures and compares their features.

    Args:
        teacher: in evaluation mode; it is not part of this module's state.
        teacher_spec: its spec.
        student_spec: the student's.
        distill: the weights.
        partners: the student's side of each tap; decides which taps there are.
        statistics: of the teacher's channels, at these taps at least.
        maps: draws maps on the fly where a batch brings none.
        tap_loss: makes the loss of each tap, instead of the one that `distill` names.
    """

    def __init__(
        self,
        teacher: Network,
        teacher_spec: ModelSpec,
        student_spec: ModelSpec,
        distill: Distill,
        partners: dict[str, Partner],
        statistics: Statistics,
        maps: Cartographer | None = None,
        tap_loss: TapLoss | None = None,
    ) -> None:
        super().__init__()
        build = tap_loss or LOSSES[distill.loss]
        self.losses = nn.ModuleDict({tap: build(own.channels, own.fold, *statistics[tap]) for tap, own in partners.items()})
        self.distill, self.teacher_spec, self.student_spec, self.maps = distill, teacher_spec, student_spec, maps
        self.partners, self.strides = partners, self._strides(list(partners))
        # in a list, so that the frozen network is neither saved nor optimised with this module
        self._teacher = [teacher.requires_grad_(False)]

    @torch.no_grad()
    def look(self, batch: Batch) -> Output:
        """What the teacher sees in the batch. Ask before the student runs, which then takes the memory that this leaves."""
        seen: Output = self._teacher[0](batch.pictures, self.strides)
        return seen

    def forward(self, student: Output, found: Candidates, teacher: Output, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Weighted terms by name, at `progress` 0..1 of the training.

        Args:
            student: what the student made of the batch's pictures.
            found: the candidates of its heads.
            teacher: what `look` gave for the batch.
            batch: the pictures with their labels and, if they have any, maps.
            progress: of the training.
        """
        strength = self.distill.at(progress)
        theirs, ours = teacher.taps(), student.taps()
        maps = batch.maps or (self.maps.draw(teacher, batch) if self.maps else {})
        shares = {"backbone": self.distill.backbone, "neck": self.distill.neck}
        terms = {}
        for tap, own in self.partners.items():
            loss = self.losses[tap](ours[own.tap], theirs[tap], maps[tap])
            terms[tap] = strength * shares[tap.split("_")[0]] * loss
        if self.distill.response:
            finds = teacher_finds(teacher.heads, self.teacher_spec.anchors, batch)
            response = response_loss(found, self.student_spec.anchors, self.student_spec.image_size, finds)
            terms["response"] = self.distill.response * response
        return {f"distill_{name}": term for name, term in terms.items()}

    def _strides(self, taps: list[str]) -> tuple[int, ...]:
        """Strides whose levels the teacher has to compute: all for its response, none for backbone taps."""
        if self.distill.response:
            return tuple(self.teacher_spec.anchors)
        needed = taps if self.maps else [tap for tap in taps if tap.startswith("neck")]
        return tuple(sorted({stride_of(tap) for tap in needed}))
