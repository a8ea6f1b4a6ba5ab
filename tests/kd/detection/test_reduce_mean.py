"""The mean over processes; several of them are in tests/kd/train/test_ddp.py."""

import pytest
import torch
from torch import distributed

from kd.detection.reduce_mean import reduce_mean


def test_one_process_is_its_own_mean() -> None:
    value = torch.tensor(3.0)
    assert reduce_mean(value) is value


def test_the_sum_is_divided_by_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_reduce", lambda total: total.add_(5.0))  # what the other process has
    value = torch.tensor(3.0, requires_grad=True)
    assert reduce_mean(value) == 4 and value == 3 and not reduce_mean(value).requires_grad


@pytest.mark.parametrize(("processes", "expected"), [(1, 1.0), (4, 0.25)])
def test_a_sum_below_the_minimum_counts_as_the_minimum(monkeypatch: pytest.MonkeyPatch, processes: int, expected: float) -> None:
    """So the mean times the number of processes is the same for any number."""
    monkeypatch.setattr(distributed, "is_initialized", lambda: processes > 1)
    monkeypatch.setattr(distributed, "get_world_size", lambda: processes)
    monkeypatch.setattr(distributed, "all_reduce", lambda total: total)
    assert reduce_mean(torch.tensor(0.4), min_sum=1.0) == expected
