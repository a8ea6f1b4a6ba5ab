"""The learning rate: linear warm-up, then cosine decay to 1 %."""

import math

MIN_FACTOR = 0.01


def lr_factor(step: int, steps: int, warmup: int) -> float:
    """Factor of the peak learning rate, in (0, 1], at `step` (from 0) of `steps`, the first `warmup` of which warm up."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(steps - warmup, 1)
    return MIN_FACTOR + (1 - MIN_FACTOR) * (1 + math.cos(math.pi * progress)) / 2
