"""The gradient of the distillation loss relative to that of the detection loss, and when it is too large."""

from itertools import pairwise

import torch
from torch import Tensor, nn

MAX_RATIO = 35.0
"""The gradient ratio above which training warns: on blood cells a recipe that gained 4 points never stayed above 28 for a whole
epoch, and one that lost points began an epoch at 63 and ended it at 56 (docs/results.md)."""


def gradient_ratio(network: nn.Module, detection: dict[str, Tensor], distillation: dict[str, Tensor]) -> float:
    """Norm of the distillation's gradient in the weights of `network` divided by that of the detection loss; the graph is kept.

    Far above 1 the student learns to imitate rather than to detect: lower `distill.weight`.
    """
    weights = [p for p in network.parameters() if p.requires_grad]
    norms = []
    for terms in (distillation, detection):
        loss = torch.stack(list(terms.values())).sum()
        gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        norms.append(torch.stack([g.norm() for g in gradients if g is not None]).norm())
    return float(norms[0] / norms[1].clamp(min=1e-12))


def exceeds_max_ratio(history: list[dict[str, float]]) -> bool:
    """Whether the last epoch of `history` is the first that both began and ended with a gradient ratio above `MAX_RATIO`.

    The ratio is measured in the first step of an epoch, so two high values in a row enclose a whole epoch. A single one may come
    from an unusual batch or an untrained adapter.
    """
    high = [row.get("gradient_ratio", 0.0) > MAX_RATIO for row in history]
    return high[-2:] == [True, True] and [*pairwise(high)].count((True, True)) == 1
