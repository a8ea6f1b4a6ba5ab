"""Which pictures are in a batch, with and without pictures that have no labels."""

from collections import Counter

import pytest

from kd.data.sampler import EpochBatchSampler
from kd.errors import InputError


def test_an_epoch_has_each_picture_at_most_once_and_all_epochs_together_have_all() -> None:
    batches = EpochBatchSampler(10, batch=4, seed=0)
    seen = set()
    for batches.epoch in range(8):
        keys = [key for batch in batches for key in batch]
        assert len(keys) == len(set(keys)) == 8 == len(batches) * 4
        assert {epoch for epoch, _ in keys} == {batches.epoch}
        seen |= {index for _, index in keys}
    assert seen == set(range(10))


def test_few_pictures_make_one_batch() -> None:
    assert [len(batch) for batch in EpochBatchSampler(3, batch=16, seed=0)] == [3]


def test_a_batch_that_the_processes_do_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match=r"train\.batch: is 8, which 3 processes do not divide; set it to a multiple"):
        EpochBatchSampler(26, batch=8, seed=0, world_size=3)
    with pytest.raises(InputError, match="the training split: has 3 pictures, fewer than the 4 processes"):
        EpochBatchSampler(3, batch=8, seed=0, world_size=4)
    shares = [next(iter(EpochBatchSampler(7, batch=8, seed=0, rank=rank, world_size=2))) for rank in range(2)]
    assert [len(share) for share in shares] == [3, 3]


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_share_each_batch(world_size: int) -> None:
    whole = list(EpochBatchSampler(26, batch=12, seed=3))
    shares = [list(EpochBatchSampler(26, batch=12, seed=3, rank=rank, world_size=world_size)) for rank in range(world_size)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert batch == [key for part in parts for key in part]
        assert {len(part) for part in parts} == {12 // world_size}


def drawn(sampler: EpochBatchSampler, epochs: range) -> list[list[tuple[int, int]]]:
    batches = []
    for sampler.epoch in epochs:
        batches += list(sampler)
    return batches


@pytest.mark.parametrize(("share", "added"), [(0.5, 4), (0.75, 12), (0.2, 1), (0.01, 1), (0.0, 0)])
def test_pictures_without_labels_are_added_to_the_same_batches(share: float, added: int) -> None:
    plain, mixed = EpochBatchSampler(10, batch=4, seed=3), EpochBatchSampler(10, batch=4, seed=3, unlabelled=7, unlabelled_share=share)
    assert len(plain) == len(mixed) and mixed.size == 4 + added
    for one, other in zip(drawn(plain, range(3)), drawn(mixed, range(3)), strict=True):
        assert other[:4] == one and len(other) == 4 + added
        assert all(10 <= index < 17 for _, index in other[4:])


def test_a_share_without_such_pictures_adds_nothing() -> None:
    assert drawn(EpochBatchSampler(10, 4, 3, unlabelled_share=0.5), range(2)) == drawn(EpochBatchSampler(10, 4, 3), range(2))


@pytest.mark.parametrize("unlabelled", [3, 7, 100])
def test_all_pictures_without_labels_are_seen_equally_often(unlabelled: int) -> None:
    """Also over the borders of epochs, so that many of them are not left out in each epoch anew."""
    batches = drawn(EpochBatchSampler(10, 4, 0, unlabelled=unlabelled, unlabelled_share=0.5), range(25))
    seen = Counter(index for batch in batches for _, index in batch[4:])
    assert sum(seen.values()) == 25 * 2 * 4 and set(seen) == set(range(10, 10 + unlabelled))
    assert max(seen.values()) - min(seen.values()) <= 1


def test_a_picture_without_labels_has_another_key_each_time() -> None:
    """So it is augmented differently, also if it is seen several times in an epoch."""
    keys = [key for batch in drawn(EpochBatchSampler(100, 4, 0, unlabelled=5, unlabelled_share=0.5), range(2)) for key in batch[4:]]
    assert len(set(keys)) == len(keys) == 200


def test_the_order_depends_on_seed_and_position_only() -> None:
    def sampler(seed: int = 0) -> EpochBatchSampler:
        return EpochBatchSampler(10, 4, seed, unlabelled=30, unlabelled_share=0.5)

    through = drawn(sampler(), range(6))
    assert through[8:] == drawn(sampler(), range(4, 6)), "a training that resumes"
    assert through != drawn(sampler(1), range(6))
    orders = [tuple(index for batch in through for _, index in batch[4:])[start : start + 12] for start in (0, 30)]
    assert orders[0] != orders[1], "another order each time"


def test_ranks_have_equally_many_pictures_without_labels() -> None:
    settings = {"unlabelled": 9, "unlabelled_share": 0.3}
    assert EpochBatchSampler(26, 12, 3, **settings).size == 12 + 5
    whole = list(EpochBatchSampler(26, 12, 3, unlabelled=9, unlabelled_share=1 / 3))
    shares = [list(EpochBatchSampler(26, 12, 3, rank, 2, **settings)) for rank in (0, 1)]
    for batch, *parts in zip(whole, *shares, strict=True):
        for unlabelled in (False, True):
            assert [key for key in batch if (key[1] >= 26) == unlabelled] == [
                key for part in parts for key in part if (key[1] >= 26) == unlabelled
            ]
        assert [sum(index >= 26 for _, index in part) for part in parts] == [3, 3]
