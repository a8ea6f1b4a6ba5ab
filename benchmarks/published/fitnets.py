"""FitNets: Romero, Ballas, Kahou, Chassang, Gatta, Bengio, "FitNets: Hints for Thin Deep Nets", ICLR 2015, equation 3.

    L = 1/2 ||T - phi(S)||^2

The teacher's feature is imitated as it is, each position with the same weight. The paper first trains the student up to the
imitated layer; here, as in all later work on detectors, the term is added to the detection loss.
"""

from torch import Tensor

from kd.distillation.statistics import ChannelStatistics


def fitnets_loss(student: Tensor, teacher: Tensor, info_map: Tensor, statistics: ChannelStatistics) -> Tensor:
    """Half the mean squared difference. `info_map` and `statistics` are not used."""
    return (student.float() - teacher.float()).square().mean() / 2
