"""Limits of the numbers that rebuild a network, far above useful ones: a damaged file must not ask for more memory than there is."""

MAX_SCALE = 4.0
"""Of the multipliers `width` and `depth`."""
MAX_IMAGE_SIZE = 4096
"""Side of the square input in pixels."""
COARSEST_STRIDE = 32
"""Of both architectures: the side of the input is a multiple of it."""
MAX_CLASSES = 10_000
MAX_TENSORS = 10_000
"""Of a model file; the largest network within these limits has 1,266."""
