"""Store the pictures of a split: with their original bytes, or scaled down to what training makes use of."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from components.prepare_data.layouts.pictures import map_parallel
from components.shared.boxes import LabeledPicture
from kd.data.letterbox import resize_to_fit
from kd.data.pictures import read_picture
from kd.data.shards import PreparedPicture, write_shards

JPEG_QUALITY = 95
"""Of the JPEG files of pictures that are scaled down; their colors are kept at full resolution (4:4:4)."""


def store_pictures(folder: Path, pictures: Sequence[LabeledPicture], title: str, longest: int | None) -> list[str]:
    """Write the shards of a split, with a progress bar; the number of threads does not change a byte.

    Args:
        folder: the split's folder.
        pictures: in the order of annotations.json.
        title: of the progress bar.
        longest: pictures with a longer side than this many pixels are scaled down to it; None keeps all.

    Returns:
        SHA-256 of each original file.
    """
    digests: list[str] = []

    def stored() -> Iterator[PreparedPicture]:
        encoded = map_parallel(lambda picture: encode_picture(picture, longest, folder), pictures, title, per_task=1)
        for image_id, (extension, content, sha256) in enumerate(encoded, 1):
            digests.append(sha256)
            yield PreparedPicture(image_id, extension, content, sha256)

    write_shards(folder, stored())
    return digests


def encode_picture(picture: LabeledPicture, longest: int | None, folder: Path) -> tuple[str, bytes, str]:
    """Extension and content of a picture to store, and SHA-256 of its file; `folder` is for temporary files.

    Training letterboxes a picture before it augments it, so its augmentations never see more than `data.image_size` pixels of the longer
    side, not even where they zoom in. A picture is therefore scaled down just as letterboxing would do it, upright by its EXIF
    orientation, and only JPEG's loss changes what training sees.
    """
    content = picture.path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if longest is None or max(picture.width, picture.height) <= longest:
        return picture.path.suffix.lower(), content, sha256
    fitted = resize_to_fit(read_picture(picture.path, at_least=longest), longest, (picture.width, picture.height))
    fitted.info.clear()  # comments of the original, which Pillow would copy
    with TemporaryFile(dir=folder) as file:  # Pillow releases the GIL when it encodes to a file, but not to memory
        fitted.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        file.seek(0)
        return ".jpg", file.read(), sha256
