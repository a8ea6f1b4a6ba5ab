"""PKD: Cao, Zhang, Gao, Lu, Dou, Bai, "PKD: General Distillation Framework for Object Detectors via Pearson Correlation
Coefficient", NeurIPS 2022, equations 3 to 5.

    L = 1/(2m) sum (N(phi(S)) - N(T))^2 = 1 - r(phi(S), T)

N standardises each channel over the places and pictures of the batch, so that only the pattern counts, neither scale nor
offset of teacher or student; r is the mean correlation of the channels.
"""

from torch import Tensor

from kd.distillation.adapted import Adapted

SMALLEST = 1e-6


class Pearson(Adapted):
    """Half the mean squared difference of standardised channels, 0 to 2."""

    def compare(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """The map is not used."""
        return (_standard(student) - _standard(teacher)).square().mean() / 2


def _standard(feature: Tensor) -> Tensor:
    """Mean 0 and variance 1 for each channel of the batch."""
    centred = feature - feature.mean(dim=(0, 2, 3), keepdim=True)
    return centred / centred.square().mean(dim=(0, 2, 3), keepdim=True).sqrt().clamp(min=SMALLEST)
