"""CWD: Shu, Liu, Gao, Yan, Shen, "Channel-wise Knowledge Distillation for Dense Prediction", ICCV 2021, equations 3 and 4.

    phi(y_c) = softmax over the places i of y_ci / tau
    L = tau^2 / C sum_c KL(phi(T_c) || phi(S_c))

Each channel says where it is active; the student's channel should be active there. tau = 4 as in the paper.
"""

from torch import Tensor
from torch.nn.functional import kl_div

from benchmarks.rivals.adapted import Adapted

TEMPERATURE = 4.0


class ChannelWise(Adapted):
    """The channels' mean divergence, times the temperature's square, which keeps the gradient's size."""

    def compare(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """The map is not used."""
        ours, theirs = ((feature.flatten(2) / TEMPERATURE).log_softmax(dim=2) for feature in (student, teacher))
        return TEMPERATURE**2 * kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=2).mean()
