"""Channel distillation: where a channel of the teacher is active, the student's is active, too.

    p_c(i) = I_i exp(y_ci / tau) / sum_j I_j exp(y_cj / tau)
    L_tap = tau^2 / C sum_c KL(p_c(T) || p_c(phi(S)))

Equations 3 and 4 of "Channel-wise Knowledge Distillation for Dense Prediction" (Shu, Liu, Gao, Yan, Shen, ICCV 2021), tau = 4 as
there, with the information map I as the measure of the places, even in the paper. Channels are as the teacher has them: for
small differences this is half the I-weighted variance of phi(S) - T over the places, so a channel counts as much as it
varies, and its mean in a picture does not count.
"""

from torch import Tensor
from torch.nn.functional import kl_div

from kd.distillation.adapted import Adapted

TEMPERATURE = 4.0
LEAST = 1e-6
"""Importance below this is as good as none; a map's mean is 1."""


class ChannelLoss(Adapted):
    """L_tap of one tap."""

    def compare(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """The channels' mean divergence, times the temperature's square, which keeps the gradient's size."""
        measure = importance.clamp(min=LEAST).log().flatten(1)[:, None]
        ours, theirs = ((feature.flatten(2) / TEMPERATURE + measure).log_softmax(dim=2) for feature in (student, teacher))
        return TEMPERATURE**2 * kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=2).mean()
