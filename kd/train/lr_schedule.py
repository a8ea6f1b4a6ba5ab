"""The learning rate: linear warm-up, then half a cosine down to a hundredth."""

import math

FLOOR = 0.01


def lr_factor(step: int, steps: int, warmup: int) -> float:
    """Factor of the peak learning rate, in (0, 1], at `step` (from 0) of `steps`, the first `warmup` of which warm up."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(steps - warmup, 1)
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * progress)) / 2
