"""FitNets: Romero, Ballas, Kahou, Chassang, Gatta, Bengio, "FitNets: Hints for Thin Deep Nets", ICLR 2015, equation 3.

    L = 1/2 ||T - phi(S)||^2

The hint is the teacher's feature as it is, every place alike. The paper trains up to the hint first; here, as in all later
work on detectors, the term joins the detection loss.
"""

from torch import Tensor

from kd.distillation.adapted import Adapted


class Hint(Adapted):
    """Half the mean squared difference."""

    def compare(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """The map is not used."""
        return (student - teacher).square().mean() / 2
