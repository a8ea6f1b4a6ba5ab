"""Feature distillation: the student's features imitate the teacher's, place by place, weighted by the information map.

    L_tap = sum_ij I_ij * ||phi(S)_ij - N(T)_ij||^2 / (C * sum_ij I_ij)

T and S are teacher's and student's feature at one tap, [B, C, H, W]. N standardises the teacher's channels with their mean
and deviation over the training pictures: the N of the information map, so a batch of few pictures does not blow up channels
that are silent in it. phi, a 1x1 convolution, finds scale and offset by itself; it exists in training alone.
"""

from torch import Tensor, nn


class FeatureLoss(nn.Module):
    """L_tap of one tap, with its adapter phi from the student's channels to the teacher's.

    Args:
        student_channels: C of the student's feature.
        mean: of the teacher's channels over the training pictures, [C].
        deviation: likewise, [C], above 0.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, student_channels: int, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.adapter = nn.Conv2d(student_channels, len(mean), 1)
        self.register_buffer("mean", mean[:, None, None], persistent=False)
        self.register_buffer("deviation", deviation[:, None, None], persistent=False)

    def forward(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """A scalar from features [B, C, H, W] and the map [B, H, W]; computed in float32."""
        target = (teacher.float() - self.mean) / self.deviation
        distance = (self.adapter(student).float() - target).square().mean(dim=1)
        weighted = (importance * distance).sum(dim=(1, 2)) / importance.sum(dim=(1, 2)).clamp(min=1e-6)
        loss: Tensor = weighted.mean()
        return loss
