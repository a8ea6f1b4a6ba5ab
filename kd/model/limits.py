"""Limits for the fields of a `ModelSpec`: far above useful values, but a damaged file must not ask for more memory than there is."""

MAX_SCALE = 4.0
"""The largest multiplier `width` or `depth`."""
MAX_IMAGE_SIZE = 4096
"""The largest side of the square input, in pixels."""
COARSEST_STRIDE = 32
"""The coarsest stride of both architectures; the side of the input is a multiple of it."""
MAX_CLASSES = 10_000
MAX_TENSORS = 10_000
"""The most tensors in a model file; the largest network within these limits has 1,266."""
