"""The mean over the processes of a training, for the number of objects that a loss is divided by."""

from torch import Tensor, distributed


def reduce_mean(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, without a gradient; the tensor itself if there is one process only."""
    if not distributed.is_initialized():
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()
