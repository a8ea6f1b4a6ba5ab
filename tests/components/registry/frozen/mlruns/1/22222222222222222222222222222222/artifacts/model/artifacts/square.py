"""Decoding pictures and fitting them into the networks' square.

A registered model carries a copy of this file, so that it sees what the training saw: it needs Pillow and NumPy alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    from torch import Tensor

GREY = 0.5
"""What surrounds a picture that does not fill the square, as in Darknet."""
UNREADABLE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What `decode` raises where something is no picture, or not a whole one."""

Boxes = TypeVar("Boxes", "Tensor", NDArray[np.float32])


class Frame(NamedTuple):
    """Where a picture lies in its square: square pixels = picture pixels * scale + (left, top)."""

    scale: float
    left: int
    top: int

    def into(self, boxes: Boxes) -> Boxes:
        """Boxes [M, 4] (x0, y0, x1, y1) from the picture's pixels to the square's."""
        return _shift(boxes * self.scale, self.left, self.top)

    def back(self, boxes: Boxes) -> Boxes:
        """Boxes [M, 4] from the square's pixels to the picture's."""
        return _shift(boxes, -self.left, -self.top) / self.scale


def decode(source: Path | BinaryIO, at_least: int = 0) -> Image.Image:
    """Decode a picture to RGB, turned upright by its EXIF orientation.

    Args:
        source: a file, or its content.
        at_least: a JPEG may be decoded at a fraction of its size (faster) as long as its long side keeps this many pixels.

    Raises:
        UNREADABLE: if it cannot be decoded whole.
    """
    with Image.open(source) as image:
        if at_least:
            image.draft("RGB", (at_least, at_least))
        return as_rgb(ImageOps.exif_transpose(image))


def from_array(array: NDArray[np.uint8]) -> Image.Image:
    """A picture from uint8 [H, W], [H, W, 3] (RGB) or [H, W, 4] (RGBA).

    Raises:
        ValueError: if the array is something else.
    """
    channels = array.shape[2:] in {(), (3,), (4,)} and array.ndim in {2, 3}
    if array.dtype != np.uint8 or not channels or not array.size:
        raise ValueError(f"is an array of {array.dtype} {list(array.shape)}")
    return as_rgb(Image.fromarray(array))


def as_rgb(image: Image.Image) -> Image.Image:
    """A picture of any mode in RGB; transparency is ignored."""
    if image.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8, which is white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def fit(image: Image.Image, size: int, original: tuple[int, int] | None = None) -> tuple[NDArray[np.uint8], Frame]:
    """Fit a picture into the middle of a square, keeping its proportions.

    Args:
        image: an RGB picture.
        size: side of the square in pixels.
        original: (width, height) that boxes are measured in, where `image` was decoded at a fraction of it.

    Returns:
        uint8 [size, size, 3], and where the picture lies in it.
    """
    width, height = original or image.size
    scale = size / max(width, height)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (size - fitted[0]) // 2, (size - fitted[1]) // 2
    square = Image.new("RGB", (size, size), (round(255 * GREY),) * 3)
    square.paste(image.resize(fitted, Image.Resampling.BILINEAR), (left, top))
    return np.array(square), Frame(scale, left, top)


def _shift(boxes: Boxes, x: int, y: int) -> Boxes:
    moved = boxes + 0  # a copy, of a tensor and of an array alike
    moved[:, 0::2] += x
    moved[:, 1::2] += y
    return moved
