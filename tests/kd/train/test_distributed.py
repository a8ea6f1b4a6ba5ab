"""One process, and what says that there are more."""

import pytest
import torch
from torch import distributed, nn

from kd.train.distributed import Group, init_distributed

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def test_without_torchrun_this_process_leads_and_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with init_distributed() as group:
        assert (group.rank, group.world, group.leads) == (0, 1, True)
        assert not distributed.is_initialized()
        module = nn.Linear(1, 1)
        assert group.wrap(module) is module
        group.wait()


def test_a_group_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the block fails, so that a later training in this process can begin one."""
    asked, ended = [], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(distributed, "init_process_group", asked.append)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: ended.append(True))
    for name, value in zip(VARIABLES, ("1", "2", "1"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError), init_distributed() as group:
        assert group == Group(1, 2, torch.device("cpu")) and not group.leads
        raise RuntimeError
    assert asked == ["gloo"] and ended == [True]
