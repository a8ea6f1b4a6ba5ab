"""What a training step changes: weights, their average, and the optimizer."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kd.model.build import Network
from kd.train.checkpoint import Parts
from kd.train.config import TrainConfig
from kd.train.ema import ModelEMA
from kd.train.optimizer import build_optimizer


@dataclass(frozen=True)
class TrainState:
    """The state of a training, and its settings.

    Attributes:
        config: the settings.
        trained: everything that is optimized: the network and, for a distillation, its loss.
        ema: the averaged network.
        optimizer: of `trained`.
        scaler: scales the loss; enabled for float16 only.
        autocast: dtype of autocast; None for float32.
    """

    config: TrainConfig
    trained: nn.ModuleList
    ema: ModelEMA
    optimizer: torch.optim.Optimizer
    scaler: torch.GradScaler
    autocast: torch.dtype | None

    def checkpoint_parts(self) -> Parts:
        """The parts whose state a checkpoint saves."""
        return {"trained": self.trained, "ema": self.ema.network, "optimizer": self.optimizer, "scaler": self.scaler}

    def backward_and_update(self, loss: Tensor, step: int, steps_per_epoch: int) -> None:
        """Accumulate the gradients of `loss`, of `step` (from 0) of the training.

        Update the weights and their average after `config.accumulate` steps, and after the last step of an epoch.
        """
        epoch, index = divmod(step, steps_per_epoch)
        group, place = divmod(index, self.config.accumulate)
        group_size = min(self.config.accumulate, steps_per_epoch - group * self.config.accumulate)
        self.scaler.scale(loss / group_size).backward()
        if place + 1 == group_size:
            self._update_weights()
            self.ema.update(self.trained[0], epoch * math.ceil(steps_per_epoch / self.config.accumulate) + group + 1)

    def _update_weights(self) -> None:
        for group in self.optimizer.param_groups:
            if not group["lr"]:  # a frozen backbone, whose gradients would shrink the step of the other parts
                for parameter in group["params"]:
                    parameter.grad = None
        self.scaler.unscale_(self.optimizer)
        for part in self.trained:  # apart, because the adapters' gradients would shrink the network's step
            nn.utils.clip_grad_norm_(list(part.parameters()), self.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()


def build_state(network: Network, distillation_loss: nn.Module | None, config: TrainConfig) -> TrainState:
    """The state of a training that begins with `network`, which is on its device. Kernels become channels-last."""
    trained = nn.ModuleList([network, *([distillation_loss] if distillation_loss else [])]).to(memory_format=torch.channels_last)
    device = next(network.parameters()).device
    autocast = config.autocast_dtype(device)
    scaler = torch.GradScaler(device.type, enabled=autocast == torch.float16)
    return TrainState(config, trained, ModelEMA(network, config.ema_decay), build_optimizer(trained, config), scaler, autocast)
