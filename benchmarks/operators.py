"""Counts the operators that torch calls, and finds those that make the host wait for the device."""

from collections.abc import Callable
from typing import NamedTuple

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

WAITING = (
    "item", "_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive",
)  # fmt: skip
"""Operators that make the host wait for the device. A boolean index calls `nonzero`."""


class OperatorCalls(NamedTuple):
    """The operators that a function called.

    Attributes:
        calls: number of calls, without those that operators call.
        waiting: the names of those in `WAITING`, wherever they are called but in an optimizer.
    """

    calls: int
    waiting: list[str]


def count_operators(function: Callable[[], object]) -> OperatorCalls:
    """Count the operators of the second call of `function`."""
    function()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        function()
    events = [event for event in profiler.events() or () if event.name.startswith("aten::")]
    waiting = [event.name for event in events if event.name.removeprefix("aten::") in WAITING and not _in_optimizer(event)]
    return OperatorCalls(sum(event.cpu_parent is None for event in events), waiting)


def _in_optimizer(event: FunctionEvent) -> bool:
    parent = event.cpu_parent
    return parent is not None and (parent.name.startswith("Optimizer.step") or _in_optimizer(parent))
