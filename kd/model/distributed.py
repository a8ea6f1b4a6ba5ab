"""The processes that work together on one step: a single one, or several started by `torchrun`."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed, nn

from kd.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among `world_size`. The main process, rank 0, reports and saves."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the main process."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """`module` with gradients averaged over the processes."""
        if self.world_size == 1 or not any(p.requires_grad for p in module.parameters()):
            return module
        with warnings.catch_warnings():  # the new name of the option is not in every release
            warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)
            # batch statistics stay each process's own, or are the same in all
            return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)

    def synchronize_batch_norm(self, network: nn.Module) -> None:
        """Let batch normalization in `network` use the statistics of the batches of all processes.

        Raises:
            InputError: if the processes have no GPUs, because PyTorch has no such normalization for CPUs.
        """
        if self.world_size == 1:
            return
        if self.device.type != "cuda":
            raise InputError("train.sync_batch_norm", "is true, but the processes have no GPUs", "set it to false")
        nn.SyncBatchNorm.convert_sync_batchnorm(network)

    def own_indices(self, items: int, batch: int = 1) -> list[int]:
        """The indices of the items that this process works on, of `items`: those of every `world_size`-th batch."""
        starts = range(self.rank * batch, items, self.world_size * batch)
        return [index for start in starts for index in range(start, min(start + batch, items))]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make a block without communication fail in all processes if it fails in one, so that none waits for an answer.

        Raises:
            InputError, OSError: in the main process, which reports it: the first one of any process.
            SystemExit: in the others.
        """
        error: InputError | OSError | None = None
        try:
            yield
        except (InputError, OSError) as raised:
            error = raised
        if first := next(filter(None, self.all_gather(error)), None):
            raise first if self.is_main else SystemExit

    def all_gather(self, value: T) -> list[T]:
        """The values of all processes, in all of them."""
        values = [value] * self.world_size
        if self.world_size > 1:
            distributed.all_gather_object(values, value)
        return values

    def gather(self, rows: list[T]) -> list[T]:
        """The rows of all processes in the main process, those of rank 0 first; nothing in the others."""
        if self.world_size == 1:
            return rows
        parts: list[list[T]] | None = [[]] * self.world_size if self.is_main else None
        distributed.gather_object(rows, parts)
        return [row for part in parts or () for row in part]

    def broadcast_buffers(self, module: nn.Module) -> None:
        """Set the buffers of `module` to those of the main process."""
        if self.world_size > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, src=0)

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            distributed.barrier()


SINGLE = Processes(0, 1, torch.device("cpu"))
"""This process only, on the CPU."""


@contextmanager
def init_distributed(deterministic: bool | None = None) -> Iterator[Processes]:
    """The processes that `torchrun`'s environment describes; without it this process alone, on the first GPU or the CPU.

    `deterministic` kernels give equal results in each run; others may be faster on a GPU. None leaves the choice to PyTorch.
    """
    rank, world_size, local = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
        if deterministic is not None:
            _choose_kernels(deterministic)
    if world_size > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world_size, device)
    finally:
        if world_size > 1:
            distributed.destroy_process_group()


def _choose_kernels(deterministic: bool) -> None:
    """On a GPU; on the CPU results are reproducible anyway for a fixed number of threads."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic
