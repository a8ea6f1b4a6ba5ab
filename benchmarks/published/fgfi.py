"""FGFI: Wang, Yuan, Zhang, Feng, "Distilling Object Detectors with Fine-Grained Feature Imitation", CVPR 2019, equation 2.

    L = 1 / (2 N) sum_ij M_ij sum_c (phi(S)_cij - T_cij)^2,   N = sum_ij M_ij

M is 1 where some anchor overlaps a labeled box with more than half of the best IoU that any position reaches with it, else 0.
"""

import torch
from torch import Tensor

from kd.data.batch import Batch
from kd.distillation import info_map as formulas
from kd.distillation.map_generator import MapFunction
from kd.distillation.statistics import ChannelStatistics
from kd.model.spec import ModelSpec, Output, Tap


def fgfi_maps(spec: ModelSpec) -> MapFunction:
    """Computes M at each tap, [B, H, W], of zeros and ones. Unlike with our `mask`, a picture without objects is left out."""

    def maps(batch: Batch, output: Output) -> dict[Tap, Tensor]:
        pictures, *_, side = batch.pictures.shape
        has_objects = torch.zeros(pictures, 1, 1, device=batch.pictures.device)
        has_objects[batch.batch_index] = 1
        overlaps = {
            tap: formulas.mask(batch.boxes, batch.batch_index, pictures, spec.anchors[tap.stride], tap.stride, side)
            for tap in output.taps()
        }
        return {tap: (overlap > 0).float() * has_objects for tap, overlap in overlaps.items()}

    return maps


def fgfi_loss(student: Tensor, teacher: Tensor, info_map: Tensor, statistics: ChannelStatistics) -> Tensor:
    """Half the mean squared difference near objects; 0 for a batch without objects. `info_map` is M; `statistics` are not used."""
    distance = (student.float() - teacher.float()).square().mean(dim=1)
    return (info_map * distance).sum() / (2 * info_map.sum().clamp(min=1))
