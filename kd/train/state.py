"""What a training step changes: weights, their average, and the optimizer."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kd.model.build import Network
from kd.train.checkpoint import Parts
from kd.train.config import TrainConfig
from kd.train.ema import ModelEMA
from kd.train.lr_schedule import set_lr
from kd.train.optimizer import build_optimizer


@dataclass(frozen=True)
class TrainState:
    """The state of a training, and its settings.

    Attributes:
        config: the settings.
        trained: everything that is optimized: the network and, for a distillation, its loss.
        ema: the averaged network.
        optimizer: of `trained`.
        scaler: of the loss; it does something in float16 only.
        autocast: what autocast computes in; None for float32.
    """

    config: TrainConfig
    trained: nn.ModuleList
    ema: ModelEMA
    optimizer: torch.optim.Optimizer
    scaler: torch.GradScaler
    autocast: torch.dtype | None

    def parts(self) -> Parts:
        """What a checkpoint holds."""
        return {"trained": self.trained, "ema": self.ema.network, "optimizer": self.optimizer, "scaler": self.scaler}

    def start_step(self, step: int, steps: int) -> None:
        """Set the learning rates for `step` (from 0) of the training, which has `steps` in each epoch."""
        set_lr(self.optimizer, self.config, step, steps)

    def backward(self, loss: Tensor, step: int, steps: int) -> None:
        """Add the gradients of the `loss` of a step, and update the weights after every `config.accumulate` steps of an epoch."""
        epoch, index = divmod(step, steps)
        update, position = divmod(index, self.config.accumulate)
        summed = min(self.config.accumulate, steps - update * self.config.accumulate)  # the last update may sum fewer batches
        self.scaler.scale(loss / summed).backward()
        if position + 1 == summed:
            self._update_weights()
            self.ema.update(self.trained[0], epoch * math.ceil(steps / self.config.accumulate) + update + 1)

    def _update_weights(self) -> None:
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
