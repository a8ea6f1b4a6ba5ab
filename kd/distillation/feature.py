"""Feature distillation: the student's features imitate the teacher's, place by place, weighted by the information map.

    L_tap = sum_ij I_ij * ||phi(S)_ij - N(T)_ij||^2 / (C * sum_ij I_ij)

T is the teacher's feature at one tap, [B, C, H, W], S the student's at its partner, which may be coarser. N standardises the
teacher's channels with their mean and deviation over the training pictures: the N of the information map, so a batch of few
pictures does not blow up channels that are silent in it. phi, the adapter, exists in training alone.
"""

import torch
from torch import Tensor, nn


def adapter(student_channels: int, teacher_channels: int, fold: int) -> nn.ConvTranspose2d:
    """phi: each place of the student tells of fold x fold places of the teacher; a 1x1 convolution where their strides are equal."""
    return nn.ConvTranspose2d(student_channels, teacher_channels, fold, stride=fold)


class FeatureLoss(nn.Module):
    """L_tap of one tap, with its adapter, which finds scale and offset by itself.

    Args:
        student_channels: of the student's feature.
        fold: places of the teacher's feature to one of the student's, along a side.
        mean: of the teacher's channels over the training pictures, [C].
        deviation: likewise, [C], above 0.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, student_channels: int, fold: int, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.adapter = adapter(student_channels, len(mean), fold)
        self.register_buffer("scale", (1 / deviation)[:, None, None], persistent=False)
        self.register_buffer("shift", (-mean / deviation)[:, None, None], persistent=False)

    def forward(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """A scalar from the student's feature [B, C', H / fold, W / fold], the teacher's [B, C, H, W] and its map [B, H, W].

        Differences keep the features' precision, sums are in float32.
        """
        target = torch.addcmul(self.shift.to(teacher.dtype), teacher, self.scale.to(teacher.dtype))
        distance = (self.adapter(student) - target).float().square().mean(dim=1)
        weighted = (importance * distance).sum(dim=(1, 2)) / importance.sum(dim=(1, 2)).clamp(min=1e-6)
        loss: Tensor = weighted.mean()
        return loss
