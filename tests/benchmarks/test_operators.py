"""The count of operators, and of those that wait for the device."""

from collections.abc import Callable

import pytest
import torch

from benchmarks.operators import count_operators

X, W = torch.arange(6.0), torch.ones(2, 6)


def test_operators_within_operators_are_not_counted() -> None:
    assert count_operators(lambda: X + X).calls == 1
    assert count_operators(lambda: torch.nn.functional.linear(X, W)).calls == 1
    assert count_operators(lambda: [X + X for _ in range(7)]).calls == 7


@pytest.mark.parametrize(
    "function",
    [
        lambda: X.sum().item(),
        lambda: bool(X.any()),
        lambda: X.nonzero(),
        lambda: X.masked_select(X > 2),
        lambda: X.unique(),
        lambda: X[X > 2],
    ],
)
def test_what_waits_is_found(function: Callable[[], object]) -> None:
    assert count_operators(function).waiting


def test_an_index_by_numbers_does_not_wait() -> None:
    assert count_operators(lambda: X[torch.tensor([1, 2])].masked_fill(X[:2] > 0, 0.0)).waiting == []


def test_an_optimizer_may_wait() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight])

    def step() -> None:
        weight.grad = torch.ones(2)
        optimizer.step()

    assert count_operators(step).waiting == []
