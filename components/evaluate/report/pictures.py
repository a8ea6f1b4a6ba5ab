"""Pictures embedded in the page."""

import base64
import io
from typing import NamedTuple

from PIL import Image

SIDE = 288
"""Longer side of an embedded picture in pixels."""


class EmbeddedPicture(NamedTuple):
    """A picture with its caption; `source` is a data URI."""

    caption: str
    source: str


def embed(caption: str, picture: Image.Image) -> EmbeddedPicture:
    """Encode a picture as JPEG in a data URI."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85, subsampling=0)  # full color resolution keeps thin lines sharp
    return EmbeddedPicture(caption, "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode())


def resize(picture: Image.Image) -> Image.Image:
    """Resize a picture to a longer side of `SIDE`."""
    scale = SIDE / max(picture.size)
    return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Image.Resampling.LANCZOS)
