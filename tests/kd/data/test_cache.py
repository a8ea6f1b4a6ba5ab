import multiprocessing
import pickle

import pytest
import torch
from torch import Tensor

from kd.data.cache import Letterboxed, SquareCache
from kd.data.letterbox import Letterbox

SIDE = 4
BYTES = 3 * SIDE * SIDE + 25
"""Of one picture with its position."""


def letterboxed(value: int) -> Letterboxed:
    return torch.full((SIDE, SIDE, 3), value, dtype=torch.uint8).permute(2, 0, 1), Letterbox(0.5 + value, value, 0)


def never() -> Letterboxed:
    pytest.fail("the picture is in the cache")


def test_a_picture_is_loaded_once_if_it_fits() -> None:
    cache = SquareCache(3, SIDE, 2 * BYTES)
    first = [cache.get(index, lambda value=index: letterboxed(value)) for index in range(3)]
    again = [cache.get(index, never) for index in range(2)]
    for (square, position), (expected, where) in zip(again, first, strict=False):
        assert torch.equal(square, expected) and position == where
    assert torch.equal(cache.get(2, lambda: letterboxed(9))[0], letterboxed(9)[0]), "there is no room for it"


def test_a_forked_process_shares_the_cache() -> None:
    cache, context = SquareCache(1, SIDE, BYTES), multiprocessing.get_context("fork")
    child = context.Process(target=cache.get, args=(0, lambda: letterboxed(7)))
    child.start()
    child.join()
    square, position = cache.get(0, never)
    assert int(square.max()) == 7 and position == Letterbox(7.5, 7, 0)


def test_a_copy_for_a_new_process_has_no_memory() -> None:
    loaded: list[Tensor] = []
    copy = pickle.loads(pickle.dumps(SquareCache(1, SIDE, BYTES)))
    for value in (1, 2):
        loaded.append(copy.get(0, lambda value=value: letterboxed(value))[0])
    assert [int(square.max()) for square in loaded] == [1, 2]


def test_without_memory_nothing_is_kept() -> None:
    cache = SquareCache(5, SIDE, BYTES - 1)
    assert [int(cache.get(0, lambda value=value: letterboxed(value))[0].max()) for value in (1, 2)] == [1, 2]
