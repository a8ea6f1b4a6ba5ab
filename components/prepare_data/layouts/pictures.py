"""Checks of picture files: their size, and whether they can be decoded."""

import struct
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from components.shared.boxes import LabeledPicture
from kd.errors import InputError

# by file extension; PIL may only use these decoders, because others run external programs
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}


def picture_size(path: Path, decode: bool = False) -> tuple[int, int]:
    """Width and height of a picture in pixels, with its EXIF orientation applied.

    Args:
        path: the picture file.
        decode: decode all pixels to detect a damaged file.

    Raises:
        InputError: if the file is missing, is not a picture, is damaged, or exceeds PIL's limit against decompression bombs.
    """
    if not path.is_file():
        raise InputError(path, "the picture is missing", "add it, or remove its entry from the labels")
    try:
        with Image.open(path, formats=sorted(set(FORMATS.values()))) as image:
            if decode:
                image.load()
            width, height = image.size
            rotated = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else str(error) or type(error).__name__
        raise InputError(path, f"the picture cannot be decoded ({reason})", "replace the file, or remove it from the labels") from None
    return (height, width) if rotated else (width, height)


def check_picture(picture: LabeledPicture) -> None:
    """Decode `picture` and compare its size with the size in the labels.

    Raises:
        InputError: if the file is missing or damaged, or its size differs from the labels.
    """
    size = picture_size(picture.path, decode=True)
    if size != (picture.width, picture.height):
        declared = f"{picture.width}x{picture.height}"
        problem = f"width and height of {picture.path.name} are {declared}, but the picture has {size[0]}x{size[1]} pixels"
        raise InputError(picture.label_file, problem, "give the size and boxes with the EXIF orientation applied")
