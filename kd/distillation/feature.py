"""Feature distillation: the student's features imitate the teacher's, place by place, weighted by the information map.

    L_tap = sum_ij I_ij * ||phi(S)_ij - N(T)_ij||^2 / (C * sum_ij I_ij)

T is the teacher's feature at one tap, [B, C, H, W], S the student's at its partner, which may be coarser. N standardises the
teacher's channels with their mean and deviation over the training pictures: the N of the information map, so a batch of few
pictures does not blow up channels that are silent in it. phi, the adapter, exists in training alone.
"""

import torch
from torch import Tensor, nn


class Adapter(nn.Module):
    """phi: what each place of the student tells of fold x fold places of the teacher.

    A linear map of the channels, so a 1x1 convolution where the strides are equal; channels that lie together in memory make
    it faster than one.
    """

    def __init__(self, student_channels: int, teacher_channels: int, fold: int) -> None:
        super().__init__()
        self.fold, self.linear = fold, nn.Linear(student_channels, fold * fold * teacher_channels)

    def forward(self, student: Tensor) -> Tensor:
        """[B, C', h, w] to [B, C, h * fold, w * fold]."""
        told: Tensor = self.linear(student.permute(0, 2, 3, 1))
        if self.fold > 1:
            told = told.unflatten(3, (self.fold, self.fold, -1)).transpose(2, 3).flatten(1, 2).flatten(2, 3)
        return told.permute(0, 3, 1, 2)


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
        self.adapter = Adapter(student_channels, len(mean), fold)
        self.register_buffer("scale", (1 / deviation)[:, None, None], persistent=False)
        self.register_buffer("shift", (-mean / deviation)[:, None, None], persistent=False)

    def forward(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """A scalar from the student's feature [B, C', H / fold, W / fold], the teacher's [B, C, H, W] and its map [B, H, W].

        Differences keep the features' precision, sums are in float32.
        """
        target = torch.addcmul(self.shift.to(teacher.dtype), teacher, self.scale.to(teacher.dtype))
        share = importance / importance.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        distance = (self.adapter(student) - target).float().square().mean(dim=1)
        loss: Tensor = (share * distance).sum() / len(share)
        return loss
