"""The processes of one training: a single one, or several started by `torchrun`."""

import os
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
        # batch statistics stay each process's own, or are the same in all
        return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)

    def synchronize_batch_norm(self, network: nn.Module) -> None:
        """Make batch normalization of `network` that over the batches of all processes.

        Raises:
            InputError: if the processes have no GPUs, because PyTorch has no such normalization for CPUs.
        """
        if self.world_size == 1:
            return
        if self.device.type != "cuda":
            raise InputError("train.sync_batch_norm", "is true, but the processes have no GPUs", "set it to false")
        nn.SyncBatchNorm.convert_sync_batchnorm(network)

    def share(self, items: int) -> range:
        """The indices of the items that this process works on, of `items`."""
        return range(self.rank, items, self.world_size)

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


@contextmanager
def init_distributed(deterministic: bool = True) -> Iterator[Processes]:
    """The processes that `torchrun`'s environment describes; without it this process alone, on the first GPU or the CPU.

    `deterministic` kernels give equal results in each run; others may be faster on a GPU.
    """
    rank, world_size, local = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        _choose_kernels(device, deterministic)
    if world_size > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world_size, device)
    finally:
        if world_size > 1:
            distributed.destroy_process_group()


def _choose_kernels(device: torch.device, deterministic: bool) -> None:
    """On a GPU; on the CPU results are reproducible anyway for a fixed number of threads."""
    torch.cuda.set_device(device)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic
