"""The processes of one training: a single one, or several started by `torchrun`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Processes:
    """This process among `world_size`. The main process, rank 0, evaluates, reports and saves."""

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
        # batch statistics stay each process's own
        return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            distributed.barrier()


@contextmanager
def init_distributed() -> Iterator[Processes]:
    """The processes that `torchrun`'s environment describes; without it this process alone, on the first GPU or the CPU."""
    rank, world_size, local = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        _use_deterministic_kernels(device)
    if world_size > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world_size, device)
    finally:
        if world_size > 1:
            distributed.destroy_process_group()


def _use_deterministic_kernels(device: torch.device) -> None:
    """On a GPU; on the CPU results are reproducible anyway for a fixed number of threads."""
    torch.cuda.set_device(device)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
