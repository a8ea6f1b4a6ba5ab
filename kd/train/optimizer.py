"""The optimizer."""

import torch
from torch import nn

from kd.train.config import TrainConfig


def build_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum; weight decay applies to convolution kernels and adapter weights only.

    If the backbone has a learning rate of its own, its parameters are in groups of their own, with "is_backbone" true.
    """
    has_own_lr = config.backbone_lr != 1 or config.freeze_epochs > 0
    groups = []
    for is_backbone in (False, True) if has_own_lr else (False,):
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        params = [p for name, p in named if not has_own_lr or ("backbone" in name.split(".")) == is_backbone]
        decayed, others = ([p for p in params if (p.ndim > 1) == is_kernel] for is_kernel in (True, False))
        groups.append({"params": decayed, "weight_decay": config.weight_decay, "is_backbone": is_backbone})
        groups.append({"params": others, "weight_decay": 0.0, "is_backbone": is_backbone})
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True, fused=True)
        for group in optimizer.param_groups:
            for parameter in group["params"]:  # PyTorch leaves them uninitialized if loss scaling skips the first step
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer
    return torch.optim.AdamW(groups, lr=config.lr, fused=True)
