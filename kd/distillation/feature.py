"""Feature distillation: the student's features imitate the teacher's, place by place, weighted by the information map.

    L_tap = sum_ij I_ij * ||N(phi(S))_ij - N(T)_ij||^2 / (C * sum_ij I_ij)

T and S are teacher's and student's feature at one tap, phi a 1x1 convolution that exists in training alone, and N
standardises each channel over the batch (as in PKD, Cao et al., 2022).
"""

from torch import Tensor, nn


class FeatureLoss(nn.Module):
    """L_tap of one tap, with its adapter phi from the student's channels to the teacher's."""

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        self.adapter = nn.Conv2d(student_channels, teacher_channels, 1, bias=False)

    def forward(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """A scalar from features [B, C, H, W] and the map [B, H, W]; computed in float32."""
        imitation = standardise(self.adapter(student).float())
        distance = (imitation - standardise(teacher.float())).square().mean(dim=1)
        weighted = (importance * distance).sum(dim=(1, 2)) / importance.sum(dim=(1, 2)).clamp(min=1e-6)
        return weighted.mean()


def standardise(feature: Tensor) -> Tensor:
    """N: zero mean and unit variance of each channel of [B, C, H, W] over pictures and places."""
    mean = feature.mean(dim=(0, 2, 3), keepdim=True)
    variance = feature.var(dim=(0, 2, 3), keepdim=True, correction=0)
    return (feature - mean) * (variance + 1e-5).rsqrt()
