"""FGD: Yang, Li, Jiang, Gong, Yuan, Zhao, Yuan, "Focal and Global Knowledge Distillation for Detectors", CVPR 2022,
equations 2 to 10: its focal part, without the global relations.

    A^S_ij = HW softmax(mean_c |T_cij| / tau),   A^C_c = C softmax(mean_ij |T_cij| / tau)
    L = alpha sum M Q A^S A^C (T - phi(S))^2 + beta sum (1 - M) Q A^S A^C (T - phi(S))^2
        + gamma (|A^S(T) - A^S(phi(S))| + |A^C(T) - A^C(phi(S))|)

M is 1 inside objects. Q is 1 / area of the smallest object there, and 1 / area of the background outside, so small objects
count as much as big ones. Here both sums are divided by their weights' sum, which keeps the balance and drops the size;
the shares are the paper's for one-stage detectors, alpha : beta : gamma = 2 : 1 : 2, and tau = 0.5.
"""

import math

import torch
from torch import Tensor

from kd.data.loader import Batch
from kd.distillation.adapted import Adapted
from kd.distillation.cartographer import Cartographer, tap_names
from kd.model.spec import Output

ALPHA, BETA, GAMMA = 1.0, 0.5, 1.0
TEMPERATURE = 0.5


class ObjectScales(Cartographer):
    """M Q and (1 - M) Q at each tap, [B, 2, H, W]."""

    def draw(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """From the labelled boxes alone."""
        return {tap: object_scales(batch, int(tap.split("_")[1]), self.spec.image_size) for tap in tap_names(self.strides)}


def object_scales(batch: Batch, stride: int, image_size: int) -> Tensor:
    """An object owns every cell that it touches; where objects overlap, the smaller one owns the cell."""
    cells = image_size // stride
    inside = torch.zeros(len(batch.pictures), cells, cells, device=batch.pictures.device)
    for (x0, y0, x1, y1), owner in zip((batch.boxes / stride).tolist(), batch.owners.tolist(), strict=True):
        rows, columns = (slice(max(0, math.floor(low)), max(1, math.ceil(high))) for low, high in ((y0, y1), (x0, x1)))
        cut = inside[owner, rows, columns]
        inside[owner, rows, columns] = cut.clamp(min=1 / max(cut.numel(), 1))
    outside = (inside == 0).float()
    return torch.stack([inside, outside / outside.sum(dim=(1, 2), keepdim=True).clamp(min=1)], dim=1)


class Focal(Adapted):
    """Squared differences where the teacher attends, foreground and background apart, and the difference of the attentions."""

    def compare(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """`importance` is what `object_scales` gives."""
        where, which = attention(teacher)
        distance = (which[:, :, None, None] * (student - teacher).square()).mean(dim=1) * where
        sums = (importance * distance[:, None]).sum(dim=(0, 2, 3)) / importance.sum(dim=(0, 2, 3)).clamp(min=1e-6)
        our_where, our_which = attention(student)
        focus = (our_where - where).abs().mean() + (our_which - which).abs().mean()
        return ALPHA * sums[0] + BETA * sums[1] + GAMMA * focus


def attention(feature: Tensor) -> tuple[Tensor, Tensor]:
    """Spatial [B, H, W] and channel attention [B, C] of a feature [B, C, H, W]; the mean of each is 1."""
    size = feature.abs()
    where = (size.mean(dim=1).flatten(1) / TEMPERATURE).softmax(dim=1).view_as(feature[:, 0])
    which = (size.mean(dim=(2, 3)) / TEMPERATURE).softmax(dim=1)
    return where * where[0].numel(), which * which.shape[1]
