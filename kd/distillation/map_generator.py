"""Computes information maps: runs the frozen teacher on a batch and applies one method to each of its taps."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kd.data.batch import Batch
from kd.detection.loss import DetectionLoss
from kd.distillation import info_map
from kd.distillation.response_loss import add_detections
from kd.distillation.statistics import Statistics
from kd.model.build import Network
from kd.model.spec import ModelSpec, Output, Tap

SHARED_METHODS = ("confidence", "mask", "uniform")
"""The methods that do not read the feature, so that backbone and neck have the same maps at a stride."""
MapFunction = Callable[[Batch, Output], dict[Tap, Tensor]]
"""From a batch and the teacher's output for it to a map [B, S / stride, S / stride] for each tap."""


class InfoMapGenerator:
    """Computes the maps of one method; a `MapFunction`.

    In pictures without labels, the teacher's detections are the objects of "mask" and "gradient".

    Args:
        teacher: a network in evaluation mode.
        spec: its spec.
        method: one of `info_map.METHODS`.
        taps: the teacher's taps to compute maps at.
        statistics: of the teacher's channels; only "activation" reads them.
    """

    def __init__(self, teacher: Network, spec: ModelSpec, method: str, taps: Sequence[Tap], statistics: Statistics | None = None) -> None:
        self.teacher, self.spec, self.method, self.taps = teacher, spec, method, taps
        self.statistics = statistics or {}
        # the processes of compute_info_maps have different numbers of batches
        self.loss = DetectionLoss(spec.anchors, across_processes=False).to(next(teacher.parameters()).device)

    def __call__(self, batch: Batch, output: Output | None = None) -> dict[Tap, Tensor]:
        """Maps [B, S / stride, S / stride] by tap.

        Args:
            batch: pictures, and their boxes for "mask" and "gradient".
            output: the teacher's output for the batch, if it was computed already. "gradient" runs the teacher again.
        """
        if self.method == "gradient":
            return self._gradient_maps(batch)
        with torch.no_grad():
            output = output or self.teacher(batch.pictures, {tap.stride for tap in self.taps})
            features = output.taps()
            if self.method == "mask":
                batch = add_detections(batch, output.heads, self.spec.anchors)
            return {tap: self._map(tap, features[tap].float(), output, batch) for tap in self.taps}

    def _map(self, tap: Tap, feature: Tensor, output: Output, batch: Batch) -> Tensor:
        match self.method:
            case "activation":
                return info_map.activation(feature, *self.statistics[tap])
            case "confidence":
                return info_map.confidence(output.heads[tap.stride].float())
            case "mask":
                boxes, index, (pictures, *_, side) = batch.boxes, batch.batch_index, batch.pictures.shape
                return info_map.mask(boxes, index, pictures, self.spec.anchors[tap.stride], tap.stride, side)
            case "entropy":
                return info_map.entropy(feature)
            case "uniform":
                return info_map.uniform(feature)
        raise ValueError(f"unknown method: {self.method}")

    @torch.enable_grad()
    def _gradient_maps(self, batch: Batch) -> dict[Tap, Tensor]:
        output = self.teacher(batch.pictures.detach().requires_grad_())
        features = [output.taps()[tap] for tap in self.taps]
        candidates = self.loss.candidates(output.heads)
        loss = torch.stack(list(self.loss(candidates, add_detections(batch, output.heads, self.spec.anchors)).values())).sum()
        gradients = torch.autograd.grad(loss, features)
        return {t: info_map.gradient(f.detach().float(), g.float()) for t, f, g in zip(self.taps, features, gradients, strict=True)}
