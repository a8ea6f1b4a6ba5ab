"""PKD: Cao, Zhang, Gao, Lu, Dou, Bai, "PKD: General Distillation Framework for Object Detectors via Pearson Correlation
Coefficient", NeurIPS 2022, equations 3 to 5.

    L = 1/(2m) sum (N(phi(S)) - N(T))^2 = 1 - r(phi(S), T)

N standardizes each channel over the positions and pictures of the batch, so that only its pattern counts, neither scale nor
offset; r is the mean correlation of the channels.
"""

from torch import Tensor

from kd.distillation.statistics import ChannelStatistics

MIN_STD = 1e-6


def pkd_loss(student: Tensor, teacher: Tensor, info_map: Tensor, statistics: ChannelStatistics) -> Tensor:
    """Half the mean squared difference of standardized channels, 0 to 2. `info_map` and `statistics` are not used."""
    return (_standardized(student.float()) - _standardized(teacher.float())).square().mean() / 2


def _standardized(feature: Tensor) -> Tensor:
    """Mean 0 and variance 1 for each channel of the batch."""
    centered = feature - feature.mean(dim=(0, 2, 3), keepdim=True)
    return centered / centered.square().mean(dim=(0, 2, 3), keepdim=True).sqrt().clamp(min=MIN_STD)
