from itertools import combinations

import numpy as np

from kd.data.streams import AUGMENTATION, MULTI_SCALE, ORDER, UNLABELLED_ORDER, generator


def test_no_two_uses_share_random_numbers() -> None:
    keys = [(ORDER, 0), (ORDER, 1), (UNLABELLED_ORDER, 0), (UNLABELLED_ORDER, 1), (MULTI_SCALE, 0), (MULTI_SCALE, 1)]
    keys += [(AUGMENTATION, epoch, index) for epoch in range(3) for index in range(3)]
    drawn = [generator(seed, *key).random(20) for seed in (0, 1) for key in keys]
    for one, other in combinations(drawn, 2):
        assert not np.isin(one, other).any()


def test_equal_keys_give_equal_numbers() -> None:
    assert np.array_equal(generator(3, AUGMENTATION, 1, 2).random(5), generator(3, AUGMENTATION, 1, 2).random(5))
