"""Looking into picture files: their size as shown, and whether they decode to the end."""

import struct
from pathlib import Path

from PIL import Image

from components.shared.boxes import LabeledPicture
from kd.errors import InputError

# file endings, and the decoders that pictures may reach; PIL has others that run outside programs
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
ORIENTATION = 0x0112


def shown_size(path: Path, decode: bool = False) -> tuple[int, int]:
    """Width and height in pixels of a picture as it is shown, with its EXIF orientation applied.

    Args:
        path: the picture file.
        decode: read all of its pixels, which finds a damaged file.

    Raises:
        InputError: the file is missing, no picture, damaged, or larger than PIL's limit against decompression bombs.
    """
    if not path.is_file():
        raise InputError(path, "the picture is missing", "add it, or take its entry out of the labels")
    try:
        with Image.open(path, formats=sorted(set(FORMATS.values()))) as image:
            if decode:
                image.load()
            width, height = image.size
            turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise InputError(path, f"the picture cannot be decoded ({_reason(error)})", "replace the file or take it out") from None
    return (height, width) if turned else (width, height)


def check_picture(picture: LabeledPicture) -> None:
    """Decode `picture` and compare its size with the labels'.

    Raises:
        InputError: the file is missing or damaged, or has another size than its labels declare.
    """
    size = shown_size(picture.path, decode=True)
    if size != (picture.width, picture.height):
        declared = f"{picture.width}x{picture.height}"
        problem = f"width and height of {picture.path.name} are declared as {declared}, but it shows {size[0]}x{size[1]} pixels"
        raise InputError(picture.labels, problem, "label the picture as it is shown (EXIF orientation applied)")


def _reason(error: Exception) -> str:
    return "of no known format" if type(error).__name__ == "UnidentifiedImageError" else str(error) or type(error).__name__
