"""Draws information maps: runs the frozen teacher on a batch and applies a reading to each of its taps."""

from collections.abc import Iterable

import torch
from torch import Tensor

from kd.data.loader import Batch
from kd.detection.decode import candidates
from kd.detection.loss import DetectionLoss
from kd.distillation import info_map
from kd.distillation.pairing import stride_of
from kd.model.build import Network
from kd.model.spec import ModelSpec, Output

Statistics = dict[str, tuple[Tensor, Tensor]]
"""Per tap the channels' mean [C] and standard deviation [C]."""


class Cartographer:
    """Maps of `reading` at the taps of the teacher with the given strides.

    Args:
        teacher: a network in evaluation mode.
        spec: its spec.
        reading: one of `info_map.READINGS`.
        strides: strides of the taps.
        statistics: of the teacher's channels; only "activation" needs them.
    """

    def __init__(
        self, teacher: Network, spec: ModelSpec, reading: str, strides: tuple[int, ...], statistics: Statistics | None = None
    ) -> None:
        self.teacher, self.spec, self.reading, self.strides = teacher, spec, reading, strides
        self.statistics = statistics or {}
        self.loss = DetectionLoss(spec.anchors, spec.image_size)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Maps [B, S / stride, S / stride] by tap name for the pictures of `batch`."""
        if self.reading == "gradient":
            return self._gradients(batch)
        with torch.no_grad():
            return self.draw(self.teacher(batch.pictures, self.strides), batch)

    def draw(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Maps from an output of the teacher that is at hand already; "gradient" has to run the teacher once more."""
        if self.reading == "gradient":
            return self._gradients(batch)
        taps = output.taps()
        return {name: self._draw(name, taps[name].float(), output, batch) for name in tap_names(self.strides)}

    def _draw(self, name: str, feature: Tensor, output: Output, batch: Batch) -> Tensor:
        stride = stride_of(name)
        match self.reading:
            case "activation":
                return info_map.activation(feature, *self.statistics[name])
            case "confidence":
                return info_map.confidence(output.heads[stride].float())
            case "mask":
                size = self.spec.image_size
                return info_map.mask(batch.boxes, batch.owners, len(batch.pictures), self.spec.anchors, stride, size)
            case "entropy":
                return info_map.entropy(feature)
            case "uniform":
                return info_map.uniform(feature)
        raise ValueError(f"no such reading: {self.reading}")

    @torch.enable_grad()
    def _gradients(self, batch: Batch) -> dict[str, Tensor]:
        output = self.teacher(batch.pictures.detach().requires_grad_())
        names = tap_names(self.strides)
        features = [output.taps()[name] for name in names]
        loss = torch.stack(list(self.loss(candidates(output.heads, self.spec.anchors), batch).values())).sum()
        slopes = torch.autograd.grad(loss, features)
        return {n: info_map.gradient(f.detach().float(), s.float()) for n, f, s in zip(names, features, slopes, strict=True)}


def tap_names(strides: Iterable[int]) -> list[str]:
    """The backbone's and the neck's taps at `strides`."""
    return [f"{part}_{stride}" for part in ("backbone", "neck") for stride in strides]


@torch.no_grad()
def channel_statistics(teacher: Network, batches: Iterable[Tensor], strides: tuple[int, ...]) -> Statistics:
    """Mean and deviation of every channel over all places of all `batches` [B, 3, S, S]; memory does not grow with their number."""
    sums: dict[str, tuple[Tensor, Tensor, int]] = {}
    for pictures in batches:
        for name, feature in teacher(pictures, strides).taps().items():
            values = feature.double().transpose(0, 1).flatten(1)
            total, squares, count = sums.get(name, (0.0, 0.0, 0))
            sums[name] = (total + values.sum(dim=1), squares + values.square().sum(dim=1), count + values.shape[1])
    return {name: _moments(*sums[name]) for name in tap_names(strides)}


def _moments(total: Tensor, squares: Tensor, count: int) -> tuple[Tensor, Tensor]:
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=1e-8).sqrt().float()
