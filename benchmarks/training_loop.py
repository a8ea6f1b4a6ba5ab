"""Trainings that run one epoch at a time, for benchmarks of the training loop."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.utils.data import DataLoader

from kd.data.batch import LoadedBatch
from kd.detection.loss import DetectionLoss
from kd.distillation.setup import Distillation
from kd.model.build import Network, build_model
from kd.model.spec import ModelSpec
from kd.train.config import TrainConfig
from kd.train.ema import ModelEMA
from kd.train.engine import train_one_epoch
from kd.train.optimizer import build_optimizer
from kd.train.progress import TrainingProgress


@dataclass
class TrainingLoop:
    """A training in this process, as `kd.train.engine.train` sets it up, without checkpoint, validation and progress."""

    side: int
    network: Network
    trained: nn.ModuleList
    criterion: DetectionLoss
    distillation: Distillation | None
    optimizer: torch.optim.Optimizer
    scaler: torch.GradScaler
    ema: ModelEMA
    config: TrainConfig
    autocast: torch.dtype | None

    def epoch(self, batches: Iterable[LoadedBatch], number: int = 0) -> None:
        """Train on `batches`, a loader or a list of batches, as in epoch `number`."""
        silent = TrainingProgress("", 1, 1, 1, 0, enabled=False)
        loader = cast(DataLoader[LoadedBatch], batches)
        parts = self.trained, self.network, self.criterion, self.distillation
        sides = [self.side] * len(loader)
        train_one_epoch(*parts, loader, sides, self.optimizer, self.scaler, self.ema, self.config, number, self.autocast, silent)


def build_training_loop(
    spec: ModelSpec, config: TrainConfig, device: torch.device, distill: Callable[[Network], Distillation] | None = None
) -> TrainingLoop:
    """A training from random weights; `distill` builds the distillation for the student."""
    network = build_model(spec).to(device)
    distillation = distill(network) if distill else None
    trained = nn.ModuleList([network, *([distillation.loss] if distillation else [])]).to(memory_format=torch.channels_last)
    autocast = config.autocast_dtype(device)
    return TrainingLoop(
        spec.image_size,
        network,
        trained,
        DetectionLoss(spec.anchors).to(device),
        distillation,
        build_optimizer(trained, config),
        torch.GradScaler(device.type, enabled=autocast == torch.float16),
        ModelEMA(network, config.ema_decay),
        config,
        autocast,
    )
