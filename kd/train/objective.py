"""What a training minimises: the detection loss, and for a distillation one more group of terms."""

import torch
from torch import Tensor, nn

from kd.data.loader import Batch
from kd.detection.decode import candidates
from kd.detection.loss import DetectionLoss
from kd.distillation.teaching import Teaching
from kd.model.build import Network

Terms = dict[str, Tensor]


class Objective(nn.Module):
    """A network with the losses that train it; `teaching` is None but for a distillation."""

    def __init__(self, network: Network, detection: DetectionLoss, teaching: Teaching | None, autocast: torch.dtype | None) -> None:
        super().__init__()
        self.network, self.detection, self.teaching, self.autocast = network, detection, teaching, autocast

    def forward(self, batch: Batch, progress: float) -> tuple[Terms, Terms]:
        """Weighted terms of the detection loss and of the distillation, at `progress` 0..1 of the training."""
        pictures = batch.pictures.to(memory_format=torch.channels_last)
        batch = batch._replace(pictures=pictures)
        with torch.autocast(pictures.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            seen = self.teaching.look(batch) if self.teaching else None
            output = self.network(pictures)
            found = candidates(output.heads, self.detection.anchors)
            taught = self.teaching(output, found, seen, batch, progress) if self.teaching else {}
        return self.detection(found, batch), taught


def gradient_ratio(network: nn.Module, detection: Terms, taught: Terms) -> float:
    """Norm of the distillation's gradient in the network's weights over that of the detection loss; the graph is kept.

    Well above 1 the student imitates more than it detects: lower `distill.weight`.
    """
    weights = [p for p in network.parameters() if p.requires_grad]
    norms = []
    for terms in (taught, detection):
        loss = torch.stack(list(terms.values())).sum()
        slopes = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        norms.append(torch.stack([s.norm() for s in slopes if s is not None]).norm())
    return float(norms[0] / norms[1].clamp(min=1e-12))


def arithmetic(precision: str, device: torch.device) -> torch.dtype | None:
    """The type to compute in, or None for float32; "auto" takes bfloat16 where the hardware multiplies in it."""
    if precision == "auto":
        native = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else None
