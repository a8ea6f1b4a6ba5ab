"""An exponential moving average of the weights, which generalizes better than the last step (Polyak averaging)."""

import copy

import torch
from torch import nn

from kd.model.build import Network


class ModelEMA:
    """The moving average of a network. Its decay grows as step / (step + 20) up to `decay`, so that early steps count more.

    Attributes:
        network: the averaged network, in evaluation mode.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards `network` after `step` steps (from 1); integer buffers are copied."""
        decay = min(self.decay, step / (step + 20))
        average, current = self.network.state_dict(), network.state_dict()
        names = [name for name, value in average.items() if value.is_floating_point()]
        torch._foreach_lerp_([average[n] for n in names], [current[n] for n in names], 1 - decay)
        for name in average.keys() - names:
            average[name].copy_(current[name])
