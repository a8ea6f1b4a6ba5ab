"""Feature distillation: the student imitates the teacher's features, each position weighted by the information map.

    L_tap = sum_ij I_ij * ||phi(S)_ij - N(T)_ij||^2 / (C * sum_ij I_ij)

T is the teacher's feature at one tap, [B, C, H, W]; phi(S) is the student's feature behind the adapter, of the same shape; I is
the information map, [B, H, W]. N standardizes the teacher's channels with their mean and standard deviation over the training
pictures, the same N as in the information map: statistics of a small batch would inflate channels that are silent in it.
"""

import torch
from torch import Tensor

from kd.distillation.statistics import ChannelStatistics


def feature_loss(student: Tensor, teacher: Tensor, info_map: Tensor, statistics: ChannelStatistics) -> Tensor:
    """L_tap, the mean over the pictures; a scalar in float32. Differences are taken in the features' own precision."""
    scale, shift = (1 / statistics.std)[:, None, None], (-statistics.mean / statistics.std)[:, None, None]
    standardized = torch.addcmul(shift.to(teacher.dtype), teacher, scale.to(teacher.dtype))
    distance = (student - standardized).float().square().mean(dim=1)
    share = info_map / info_map.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    return (share * distance).sum() / len(share)
