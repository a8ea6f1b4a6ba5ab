"""Read picture files, with errors that name the file and a remedy."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from kd.data.letterbox import Letterbox, UnreadablePicture, decode_picture, letterbox_array
from kd.errors import InputError


def read_picture(path: Path, at_least: int = 0) -> Image.Image:
    """Decode a picture to RGB, upright by its EXIF orientation; see `kd.data.letterbox.decode_picture`.

    Raises:
        InputError: if the file is missing, must not be read, or cannot be decoded completely.
    """
    try:
        return decode_picture(path, at_least)
    except FileNotFoundError:
        raise InputError(path, "picture is missing", "add it, or remove its entry") from None
    except PermissionError:
        raise InputError(path, "picture cannot be read", "give this user permission to read it") from None
    except UnreadablePicture as error:
        raise InputError(path, f"picture cannot be decoded ({error})", "replace it with an intact file, such as JPEG or PNG") from None


def letterbox_tensor(image: Image.Image, size: int, original: tuple[int, int] | None = None) -> tuple[Tensor, Letterbox]:
    """`kd.data.letterbox.letterbox_array` as a tensor: uint8 [3, size, size], and the position of the picture in it."""
    square, position = letterbox_array(image, size, original)
    return torch.from_numpy(square).permute(2, 0, 1), position
