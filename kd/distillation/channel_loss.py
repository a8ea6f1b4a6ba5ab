"""Channel distillation: each channel of the student is active at the positions where the teacher's is.

    p_c(i) = I_i exp(y_ci / tau) / sum_j I_j exp(y_cj / tau)
    L_tap = tau^2 / C sum_c KL(p_c(T) || p_c(phi(S)))

Equations 3 and 4 of "Channel-wise Knowledge Distillation for Dense Prediction" (Shu, Liu, Gao, Yan, Shen, ICCV 2021), with
tau = 4 as there. The paper gives every position the same weight; here the information map I weights the positions. The teacher's
channels are not standardized: for small differences the loss is half the I-weighted variance of phi(S) - T over the positions,
so a channel counts as much as it varies, and its mean over a picture does not matter.
"""

from torch import Tensor
from torch.nn.functional import kl_div

from kd.distillation.statistics import ChannelStatistics

TEMPERATURE = 4.0
MIN_IMPORTANCE = 1e-6
"""Lower bound of the information map, whose mean is 1: the logarithm has to be finite."""


def channel_loss(student: Tensor, teacher: Tensor, info_map: Tensor, statistics: ChannelStatistics) -> Tensor:
    """L_tap; a scalar in float32. The factor tau^2 keeps the size of the gradient. `statistics` are not used."""
    weight = info_map.clamp(min=MIN_IMPORTANCE).log().flatten(1)[:, None]
    ours, theirs = ((feature.float().flatten(2) / TEMPERATURE + weight).log_softmax(dim=2) for feature in (student, teacher))
    return TEMPERATURE**2 * kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=2).mean()
