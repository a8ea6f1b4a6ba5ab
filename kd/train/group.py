"""The processes of one training: one, or several started by `torchrun`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Group:
    """This process among `world`; process 0 scores, reports and saves."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """`module` with gradients averaged over the group."""
        if self.world == 1:
            return module
        # the losses hold no buffers that matter, and batch statistics stay each process's own
        return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False)

    def wait(self) -> None:
        """Let every process come this far."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def process_group() -> Iterator[Group]:
    """The group that `torchrun`'s environment describes; without it, this process alone on the first GPU, or the CPU."""
    rank, world, local = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        _be_deterministic(device)
    if world > 1:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(rank, world, device)
    finally:
        if world > 1:
            distributed.destroy_process_group()


def _be_deterministic(device: torch.device) -> None:
    """Choose the kernels that give the same bytes again; those of the CPU do anyway, for one number of threads."""
    torch.cuda.set_device(device)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
