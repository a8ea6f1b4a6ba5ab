"""Decode pictures and fit them into the square input of the networks.

Check, training, prediction, gate and served model decode with this module. Registered models carry a copy of it, so it imports
nothing but Pillow and NumPy.
"""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

if TYPE_CHECKING:
    from torch import Tensor

with contextlib.suppress(ImportError):
    from pillow_heif import register_heif_opener

    register_heif_opener()

GREY = 0.5
"""Color of the square around a picture that does not fill it, as in Darknet."""
EXTENSIONS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jfif"), "JPEG"),
    ".png": "PNG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    ".avif": "AVIF",
    **dict.fromkeys((".heic", ".heif"), "HEIF"),
}
"""Formats by file extension. Pillow may use only these decoders: others run external programs, as for EPS."""
MAX_MEGAPIXELS = 64
"""Largest picture. A small file can hold a huge one, which takes up to eight bytes of memory per pixel while it is decoded."""
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What shows a picture with this EXIF orientation upright."""

Boxes = TypeVar("Boxes", "Tensor", NDArray[np.float32])


class UnreadablePicture(ValueError):
    """A file or array that is not a whole picture of a known format."""


class Letterbox(NamedTuple):
    """The position of a picture in its square: square pixels = picture pixels * scale + (left, top)."""

    scale: float
    left: int
    top: int

    def to_square(self, boxes: Boxes) -> Boxes:
        """Boxes [M, 4] (x0, y0, x1, y1) from the picture's pixels to the square's."""
        return _shift(boxes * self.scale, self.left, self.top)

    def to_picture(self, boxes: Boxes) -> Boxes:
        """Boxes [M, 4] from the square's pixels to the picture's."""
        return _shift(boxes, -self.left, -self.top) / self.scale


def formats() -> list[str]:
    """The decoders of `EXTENSIONS` that this Pillow has."""
    Image.init()
    return sorted(set(EXTENSIONS.values()) & set(Image.OPEN))


def open_picture(source: Path | BinaryIO) -> Image.Image:
    """Open a picture without decoding it.

    Raises:
        UnreadablePicture: if it is not a picture of a known format, or has more than `MAX_MEGAPIXELS`.
    """
    try:
        image = Image.open(source, formats=formats())
        if image.format == "TIFF":
            image.filename = ""  # a file with a name is mapped to memory, where Pillow confuses the sides of a picture that it turns
        if image.width * image.height > MAX_MEGAPIXELS * 1e6:
            image.close()
            raise Image.DecompressionBombError
        return image
    except Image.DecompressionBombError:  # Pillow raises it for much larger pictures
        raise UnreadablePicture(f"it has more than {MAX_MEGAPIXELS} megapixels, the largest size") from None
    except (FileNotFoundError, PermissionError):
        raise
    except UnidentifiedImageError:
        raise UnreadablePicture("it is not a picture of a known format") from None
    except Exception as error:  # decoders raise whatever a damaged file makes them
        raise UnreadablePicture(str(error) or type(error).__name__) from error


def decode_picture(source: Path | BinaryIO, at_least: int = 0) -> Image.Image:
    """Decode a picture to RGB, upright by its EXIF orientation.

    Args:
        source: a file, or its content.
        at_least: decode a JPEG at a fraction of its size, which is faster, if its longer side keeps this many pixels.

    Raises:
        UnreadablePicture: if it cannot be decoded completely.
    """
    with open_picture(source) as image:
        try:
            if at_least:
                scale = at_least / max(image.size)
                # Pillow keeps both sides at least as long as asked for
                image.draft("RGB", (max(1, int(image.width * scale)), max(1, int(image.height * scale))))
            image.load()
            turned, picture = pending_orientation(image), as_rgb(image)
            if picture is not image:
                image.close()  # frees its pixels, because turning needs memory for a second picture
            return upright(picture, turned)
        except UnreadablePicture:
            raise
        except Exception as error:  # decoders raise whatever a damaged file makes them
            raise UnreadablePicture(str(error) or type(error).__name__) from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none, or if the EXIF data are damaged."""
    try:
        value = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF data make Pillow fail in many ways, and viewers ignore them
        return 1
    return value if value in TRANSPOSE else 1


def pending_orientation(image: Image.Image) -> int:
    """The EXIF orientation that decoding leaves to the caller: Pillow turns a TIFF itself, and gives its upright size."""
    return 1 if image.format == "TIFF" else orientation(image)


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn and mirror `image` by an EXIF orientation."""
    return image.transpose(TRANSPOSE[orientation]) if orientation in TRANSPOSE else image


def shown_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an opened picture with its EXIF orientation applied."""
    width, height = image.size
    return (height, width) if pending_orientation(image) >= 5 else (width, height)


def from_array(array: NDArray[np.uint8]) -> Image.Image:
    """A picture from uint8 [H, W], [H, W, 3] (RGB) or [H, W, 4] (RGBA).

    Raises:
        UnreadablePicture: if the array is anything else.
    """
    channels = array.shape[2:] in {(), (3,), (4,)} and array.ndim in {2, 3}
    if array.dtype != np.uint8 or not channels or not array.size:
        raise UnreadablePicture(f"it is an array of {array.dtype} {list(array.shape)}")
    return as_rgb(Image.fromarray(array))


def as_rgb(image: Image.Image) -> Image.Image:
    """A picture of any 8-bit or 16-bit mode in RGB; transparency is ignored.

    Raises:
        UnreadablePicture: for 32-bit integers and floats, whose range is not known.
    """
    if image.mode in ("I", "F"):
        raise UnreadablePicture("it has 32-bit pixels; convert it to 8 or 16 bits")
    if image.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8, which is white
        image = Image.fromarray((np.asarray(image) >> (used_bits(image) - 8)).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def used_bits(image: Image.Image) -> int:
    """Bits of a pixel's value: 16, 12 for a 16-bit picture with values below 4096, otherwise 8."""
    if not image.mode.startswith("I;16"):
        return 8
    return 16 if int(np.asarray(image).max(initial=0)) >= 4096 else 12


def letterbox_array(image: Image.Image, size: int, original: tuple[int, int] | None = None) -> tuple[NDArray[np.uint8], Letterbox]:
    """Fit a picture into the middle of a square, keeping its aspect ratio.

    Args:
        image: an RGB picture.
        size: side of the square in pixels.
        original: (width, height) that boxes refer to, if `image` was decoded at a fraction of it.

    Returns:
        uint8 [size, size, 3], and the position of the picture in it.
    """
    scale = size / max(original or image.size)
    fitted = resize_to_fit(image, size, original)
    left, top = (size - fitted.width) // 2, (size - fitted.height) // 2
    square = Image.new("RGB", (size, size), (round(255 * GREY),) * 3)
    square.paste(fitted, (left, top))
    return np.array(square), Letterbox(scale, left, top)


def resize_to_fit(image: Image.Image, size: int, original: tuple[int, int] | None = None) -> Image.Image:
    """Scale a picture so that the longer side has `size` pixels; its aspect ratio is that of `original` (width, height), if given."""
    width, height = original or image.size
    scale = size / max(width, height)
    return image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR)


def _shift(boxes: Boxes, x: int, y: int) -> Boxes:
    shifted = boxes + 0  # a copy, of a tensor and of an array alike
    shifted[:, 0::2] += x
    shifted[:, 1::2] += y
    return shifted
