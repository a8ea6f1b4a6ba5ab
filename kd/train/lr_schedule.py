"""The learning rate: linear warm-up, then cosine decay to 1 %."""

import math

import torch

from kd.train.config import TrainConfig

MIN_FACTOR = 0.01


def lr_factor(step: int, steps: int, warmup: int) -> float:
    """Factor of the peak learning rate, in (0, 1], at `step` (from 0) of `steps`, the first `warmup` of which warm up."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(steps - warmup, 1)
    return MIN_FACTOR + (1 - MIN_FACTOR) * (1 + math.cos(math.pi * progress)) / 2


def set_lr(optimizer: torch.optim.Optimizer, config: TrainConfig, step: int, steps: int) -> None:
    """Set the learning rates for `step` (from 0) of a training with `steps` in each epoch."""
    factor = lr_factor(step, config.epochs * steps, round(config.warmup_epochs * steps))
    backbone_factor = 0.0 if step < config.freeze_epochs * steps else config.backbone_lr
    for group in optimizer.param_groups:
        group["lr"] = config.lr * factor * (backbone_factor if group["is_backbone"] else 1.0)
