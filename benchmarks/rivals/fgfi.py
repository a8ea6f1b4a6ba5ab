"""FGFI: Wang, Yuan, Zhang, Feng, "Distilling Object Detectors with Fine-Grained Feature Imitation", CVPR 2019, equation 2.

    L = 1 / (2 N) sum_ij M_ij sum_c (phi(S)_cij - T_cij)^2,   N = sum_ij M_ij

M is 1 where some anchor overlaps a labelled box with more than half of the best IoU that any place reaches with it, else 0.
"""

import torch
from torch import Tensor

from kd.data.loader import Batch
from kd.distillation.adapted import Adapted
from kd.distillation.cartographer import Cartographer
from kd.model.spec import Output


class BinaryMask(Cartographer):
    """M at each tap, [B, H, W] of zeros and ones."""

    def draw(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Unlike in our reading `mask`, a picture without objects has no place that counts."""
        self.reading = "mask"
        busy = torch.zeros(len(batch.pictures), 1, 1, device=batch.pictures.device)
        busy[batch.owners] = 1
        return {tap: (overlap > 0).float() * busy for tap, overlap in super().draw(output, batch).items()}


class FineGrained(Adapted):
    """Half the mean squared difference near objects."""

    def compare(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """`importance` is M; 0 for a batch without objects."""
        distance = (student - teacher).square().mean(dim=1)
        return (importance * distance).sum() / (2 * importance.sum().clamp(min=1))
