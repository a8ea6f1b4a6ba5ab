"""The mean over the processes of a training, for the number of objects that a loss is divided by."""

from torch import Tensor, distributed


def reduce_mean(value: Tensor, min_sum: float | None = None) -> Tensor:
    """The mean of a tensor over all processes, without a gradient; the tensor itself if there is one process only.

    If `min_sum` is given, a lower sum over all processes counts as `min_sum`.
    """
    processes = 1
    if distributed.is_initialized():
        value, processes = value.detach().clone(), distributed.get_world_size()
        distributed.all_reduce(value)
    if min_sum is not None:
        value = value.clamp(min=min_sum)
    return value / processes if processes > 1 else value
