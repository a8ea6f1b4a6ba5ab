"""FGD: Yang, Li, Jiang, Gong, Yuan, Zhao, Yuan, "Focal and Global Knowledge Distillation for Detectors", CVPR 2022,
equations 2 to 10: its focal part, without the global relations.

    A^S_ij = HW softmax(mean_c |T_cij| / tau),   A^C_c = C softmax(mean_ij |T_cij| / tau)
    L = alpha sum M Q A^S A^C (T - phi(S))^2 + beta sum (1 - M) Q A^S A^C (T - phi(S))^2
        + gamma (|A^S(T) - A^S(phi(S))| + |A^C(T) - A^C(phi(S))|)

M is 1 inside objects. Q is 1 / area of the smallest object at a position, and 1 / area of the background outside objects, so
that small objects count as much as large ones. Here both sums are divided by the sum of their weights, which keeps the balance
and removes the size; the shares are the paper's for one-stage detectors, alpha : beta : gamma = 2 : 1 : 2, and tau = 0.5.
"""

import math

import torch
from torch import Tensor

from kd.data.batch import Batch
from kd.distillation.map_generator import MapFunction
from kd.distillation.statistics import ChannelStatistics
from kd.model.spec import ModelSpec, Output, Tap

ALPHA, BETA, GAMMA = 1.0, 0.5, 1.0
TEMPERATURE = 0.5


def fgd_maps(spec: ModelSpec) -> MapFunction:
    """Computes M Q and (1 - M) Q at each tap, [B, 2, H, W], from the labeled boxes."""

    def maps(batch: Batch, output: Output) -> dict[Tap, Tensor]:
        return {tap: object_scales(batch, tap.stride) for tap in output.taps()}

    return maps


def object_scales(batch: Batch, stride: int) -> Tensor:
    """M Q and (1 - M) Q; an object covers every cell that it touches, and the smallest object of a cell counts."""
    cells = batch.pictures.shape[-1] // stride
    inside = torch.zeros(len(batch.pictures), cells, cells, device=batch.pictures.device)
    for (x0, y0, x1, y1), picture in zip((batch.boxes / stride).tolist(), batch.batch_index.tolist(), strict=True):
        rows, columns = (slice(max(0, math.floor(low)), max(1, math.ceil(high))) for low, high in ((y0, y1), (x0, x1)))
        covered = inside[picture, rows, columns]
        inside[picture, rows, columns] = covered.clamp(min=1 / max(covered.numel(), 1))
    outside = (inside == 0).float()
    return torch.stack([inside, outside / outside.sum(dim=(1, 2), keepdim=True).clamp(min=1)], dim=1)


def fgd_loss(student: Tensor, teacher: Tensor, info_map: Tensor, statistics: ChannelStatistics) -> Tensor:
    """Squared differences where the teacher attends, foreground and background apart, plus the difference of the attentions.

    `info_map` is what `object_scales` returns; `statistics` are not used.
    """
    student, teacher = student.float(), teacher.float()
    spatial, channel = attention(teacher)
    distance = (channel[:, :, None, None] * (student - teacher).square()).mean(dim=1) * spatial
    sums = (info_map * distance[:, None]).sum(dim=(0, 2, 3)) / info_map.sum(dim=(0, 2, 3)).clamp(min=1e-6)
    student_spatial, student_channel = attention(student)
    difference = (student_spatial - spatial).abs().mean() + (student_channel - channel).abs().mean()
    return ALPHA * sums[0] + BETA * sums[1] + GAMMA * difference


def attention(feature: Tensor) -> tuple[Tensor, Tensor]:
    """Spatial [B, H, W] and channel attention [B, C] of a feature [B, C, H, W]; the mean of each is 1."""
    size = feature.abs()
    spatial = (size.mean(dim=1).flatten(1) / TEMPERATURE).softmax(dim=1).view_as(feature[:, 0])
    channel = (size.mean(dim=(2, 3)) / TEMPERATURE).softmax(dim=1)
    return spatial * spatial[0].numel(), channel * channel.shape[1]
