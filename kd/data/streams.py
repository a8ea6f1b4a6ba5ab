"""Independent random numbers for each use, all from the one seed of a training."""

import numpy as np

ORDER, UNLABELLED_ORDER, AUGMENTATION, MULTI_SCALE = range(4)
"""What random numbers are used for."""


def generator(seed: int, use: int, *key: int) -> np.random.Generator:
    """The generator for one use; `key` tells apart what needs numbers of its own, such as epoch and index of a picture.

    The key is a spawn key, because NumPy pads seeds with zeros: those of (seed, epoch) and (seed, epoch, 0) would be equal.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(use, *key)))
