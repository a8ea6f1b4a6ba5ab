"""The processes of a training: one, or those that torchrun's environment describes."""

import pytest
import torch
from torch import distributed, nn

from kd.train.distributed import Processes, init_distributed

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def test_without_torchrun_this_process_is_the_main_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with init_distributed() as processes:
        assert (processes.rank, processes.world_size, processes.is_main) == (0, 1, True)
        assert not distributed.is_initialized()
        module = nn.Linear(1, 1)
        assert processes.wrap(module) is module
        processes.barrier()


def test_the_process_group_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the block fails, so that a later training in this process can start one."""
    asked, ended = [], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(distributed, "init_process_group", asked.append)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: ended.append(True))
    for name, value in zip(VARIABLES, ("1", "2", "1"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError), init_distributed() as processes:
        assert processes == Processes(1, 2, torch.device("cpu")) and not processes.is_main
        raise RuntimeError
    assert asked == ["gloo"] and ended == [True]


def test_a_module_without_parameters_is_not_wrapped() -> None:
    """DistributedDataParallel refuses it; the loss of a distillation without taps has none."""
    module = nn.ModuleDict()
    assert Processes(0, 2, torch.device("cpu")).wrap(module) is module
