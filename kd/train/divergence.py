"""Finds the step in which a training diverged, without a wait for the device in each step."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class TrainingDiverged(Exception):
    """The loss or a weight is not finite."""


class DivergenceCheck:
    """Keeps the first step of an epoch whose loss is not finite on the device until `raise_if_diverged` reads it.

    Args:
        epoch: from 0.
        device: of the losses.
    """

    def __init__(self, epoch: int, device: torch.device) -> None:
        self.epoch, self.names = epoch, [""]
        self.step = torch.full((), -1, device=device)
        self.values = torch.zeros((), device=device)

    @torch.no_grad()
    def update(self, step: int, loss: Tensor, terms: dict[str, Tensor]) -> None:
        """Take a look at `loss`, the sum of `terms`, in `step` (from 0)."""
        first = (self.step < 0) & ~loss.isfinite()
        self.names = list(terms)
        self.step = self.step.masked_fill(first, step)
        self.values = torch.where(first, torch.stack(list(terms.values())), self.values)

    def raise_if_diverged(self) -> None:
        """Wait for the device.

        Raises:
            TrainingDiverged: if the loss was not finite in a step; it names the first one.
        """
        step = int(self.step)
        if step >= 0:
            values = ", ".join(f"{name} {value:.3g}" for name, value in zip(self.names, self.values.tolist(), strict=True))
            raise TrainingDiverged(f"the loss is not finite in epoch {self.epoch + 1}, step {step + 1} ({values})")


def check_weights(modules: Iterable[nn.Module], epoch: int, steps: int) -> None:
    """Check all weights and buffers before they are saved.

    Raises:
        TrainingDiverged: if one is not finite; the losses were, so the last of `steps` steps of the epoch made it so.
    """
    tensors = [value for module in modules for value in module.state_dict().values() if value.is_floating_point()]
    if not torch.stack([value.isfinite().all() for value in tensors]).all():
        raise TrainingDiverged(f"a weight is not finite in epoch {epoch + 1}, step {steps}")
