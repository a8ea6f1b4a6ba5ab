"""Trainings that run one epoch at a time, for benchmarks of the training loop."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch.utils.data import DataLoader

from kd.data.batch import LoadedBatch
from kd.detection.loss import DetectionLoss
from kd.distillation.setup import Distillation
from kd.model.build import Network, build_model
from kd.model.spec import ModelSpec
from kd.train.config import TrainConfig
from kd.train.engine import train_one_epoch
from kd.train.progress import TrainingProgress
from kd.train.state import TrainState, build_state


@dataclass
class TrainingLoop:
    """A training in this process, as `kd.train.engine.train` sets it up, without checkpoint, validation, `compile` and `multi_scale`."""

    side: int
    criterion: DetectionLoss
    distillation: Distillation | None
    state: TrainState

    def epoch(self, batches: Iterable[LoadedBatch], number: int = 0) -> None:
        """Train on `batches`, a loader or a list of batches, as in epoch `number`."""
        silent = TrainingProgress("", 1, 1, 1, 0, enabled=False)
        loader = cast(DataLoader[LoadedBatch], batches)
        sides = [self.side] * len(loader)
        train_one_epoch(self.state, self.state.trained[0], self.criterion, self.distillation, loader, sides, number, silent)


def build_training_loop(
    spec: ModelSpec, config: TrainConfig, device: torch.device, distill: Callable[[Network], Distillation] | None = None
) -> TrainingLoop:
    """A training from random weights; `distill` builds the distillation for the student."""
    network = build_model(spec).to(device)
    distillation = distill(network) if distill else None
    state = build_state(network, distillation.loss if distillation else None, config)
    return TrainingLoop(spec.image_size, DetectionLoss(spec.anchors).to(device), distillation, state)
