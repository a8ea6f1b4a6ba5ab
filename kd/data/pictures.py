"""Pictures as tensors."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from kd.data.letterbox import DECODE_ERRORS, Letterbox, decode_picture, letterbox_array
from kd.errors import InputError


def read_picture(path: Path, at_least: int = 0) -> Image.Image:
    """Decode a picture to RGB, turned upright by its EXIF orientation; see `kd.data.letterbox.decode_picture`.

    Raises:
        InputError: if the file is missing or cannot be decoded whole.
    """
    try:
        return decode_picture(path, at_least)
    except FileNotFoundError:
        raise InputError(path, "picture is missing", "put it there, or remove its entry") from None
    except DECODE_ERRORS as error:
        raise InputError(path, f"picture cannot be decoded ({error})", "replace it by a whole JPEG or PNG file") from None


def letterbox(image: Image.Image, size: int, original: tuple[int, int] | None = None) -> tuple[Tensor, Letterbox]:
    """`kd.data.letterbox.letterbox_array` as a tensor: uint8 [3, size, size], and where the picture lies in it."""
    square, frame = letterbox_array(image, size, original)
    return torch.from_numpy(square).permute(2, 0, 1), frame
