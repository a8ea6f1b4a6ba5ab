"""Reading pictures and fitting them into the networks' square."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from kd.errors import InputError

GREY = 0.5
"""What surrounds a picture that does not fill the square, as in Darknet."""


class Frame(NamedTuple):
    """Where a picture lies in its square: square pixels = picture pixels * scale + (left, top)."""

    scale: float
    left: int
    top: int

    def into(self, boxes: Tensor) -> Tensor:
        """Boxes [M, 4] (x0, y0, x1, y1) from the picture's pixels to the square's."""
        return boxes * self.scale + boxes.new_tensor([self.left, self.top, self.left, self.top])

    def back(self, boxes: Tensor) -> Tensor:
        """Boxes [M, 4] from the square's pixels to the picture's."""
        return (boxes - boxes.new_tensor([self.left, self.top, self.left, self.top])) / self.scale


def read_picture(path: Path, at_least: int = 0) -> Image.Image:
    """Decode a picture to RGB, turned upright by its EXIF orientation.

    Args:
        path: the file.
        at_least: a JPEG may be decoded at a fraction of its size (faster) as long as its long side keeps this many pixels.

    Raises:
        InputError: if the file is missing or cannot be decoded whole.
    """
    try:
        with Image.open(path) as image:
            if at_least:
                image.draft("RGB", (at_least, at_least))
            return _as_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise InputError(path, "picture is missing", "put it there, or remove its entry") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(path, f"picture cannot be decoded ({error})", "replace it by a whole JPEG or PNG file") from None


def letterbox(image: Image.Image, size: int, original: tuple[int, int] | None = None) -> tuple[Tensor, Frame]:
    """Fit a picture into the middle of a square, keeping its proportions.

    Args:
        image: an RGB picture.
        size: side of the square in pixels.
        original: (width, height) that boxes are measured in, where `image` was decoded at a fraction of it.

    Returns:
        uint8 [3, size, size], and where the picture lies in it.
    """
    width, height = original or image.size
    scale = size / max(width, height)
    fitted = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (size - fitted[0]) // 2, (size - fitted[1]) // 2
    square = Image.new("RGB", (size, size), (round(255 * GREY),) * 3)
    square.paste(image.resize(fitted, Image.Resampling.BILINEAR), (left, top))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1), Frame(scale, left, top)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8, which is white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")
