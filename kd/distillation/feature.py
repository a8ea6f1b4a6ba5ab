"""Feature distillation: the student's features imitate the teacher's, place by place, weighted by the information map.

    L_tap = sum_ij I_ij * ||phi(S)_ij - N(T)_ij||^2 / (C * sum_ij I_ij)

T is the teacher's feature at one tap, [B, C, H, W], S the student's at its partner, which may be coarser. N standardises the
teacher's channels with their mean and deviation over the training pictures: the N of the information map, so a batch of few
pictures does not blow up channels that are silent in it. phi, the adapter, exists in training alone.
"""

import torch
from torch import Tensor

from kd.distillation.adapted import Adapted


class FeatureLoss(Adapted):
    """L_tap of one tap; the adapter finds scale and offset by itself."""

    scale: Tensor
    shift: Tensor

    def __init__(self, student_channels: int, fold: int, mean: Tensor, deviation: Tensor) -> None:
        super().__init__(student_channels, fold, mean, deviation)
        self.register_buffer("scale", (1 / deviation)[:, None, None], persistent=False)
        self.register_buffer("shift", (-mean / deviation)[:, None, None], persistent=False)

    def forward(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """Differences keep the features' precision, which is faster; sums are in float32."""
        return self.compare(self.adapter(student), teacher, importance)

    def compare(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """The mean over pictures of the weighted squared distance to the standardised teacher."""
        target = torch.addcmul(self.shift.to(teacher.dtype), teacher, self.scale.to(teacher.dtype))
        share = importance / importance.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        distance = (student - target).float().square().mean(dim=1)
        loss: Tensor = (share * distance).sum() / len(share)
        return loss
