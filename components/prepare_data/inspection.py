"""Decode every picture once, in parallel: is it intact, what size does it have, and which pictures are identical?"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import UnidentifiedImageError

from components.prepare_data.findings import Finding, counted, find
from components.prepare_data.layouts.dataset import RawDataset
from components.prepare_data.layouts.files import LFS_POINTER
from components.prepare_data.layouts.pictures import map_parallel
from kd.data.letterbox import UnreadablePicture, as_rgb, formats, open_picture, orientation, pending_orientation, upright, used_bits
from kd.errors import InputError

MAX_LISTED = 10
"""Files that an error lists."""
SAME_SIZE = (2, 3, 4)
"""The EXIF orientations that mirror a picture or turn it by 180 degrees."""


PAGED = ("TIFF", "WEBP", "PNG", "AVIF")
"""Formats whose further pages or frames are pictures; in a JPEG they are the preview or the depth that phones add."""
DARK = 16
"""Pillow keeps the upper 8 of 16 bits of a color: this is the brightest value if only 12 bits are used, plus 1."""


class Inspection(NamedTuple):
    """What decoding showed.

    Attributes:
        size: width and height in pixels, with the EXIF orientation applied.
        digest: SHA-256 of the size and the upright RGB pixels.
        orientation: the EXIF orientation, 1 to 8.
        bits: of a pixel's value: 8, 12 or 16.
        error: why the picture cannot be decoded; "" if it can.
        frames: pages of a TIFF, or frames of an animation.
    """

    size: tuple[int, int]
    digest: str
    orientation: int
    bits: int
    error: str = ""
    frames: int = 1


def inspect_pictures(dataset: RawDataset) -> dict[Path, Inspection]:
    """Decode all pictures of `dataset`, with a progress bar."""
    paths = sorted({picture.path for pictures in dataset.splits.values() for picture in pictures})
    return dict(zip(paths, map_parallel(inspect_picture, paths, "decode pictures"), strict=True))


def inspect_picture(path: Path) -> Inspection:
    """Decode one picture."""
    try:
        with open_picture(path) as image:
            frames = getattr(image, "n_frames", 1) if image.format in PAGED else 1
            deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
            stored, pending = orientation(image), pending_orientation(image)  # decoding a TIFF turns it and removes its orientation
            bits, turned = used_bits(image), upright(as_rgb(image), pending)
            if deep and bits == 8 and int(np.asarray(turned).max(initial=0)) < DARK:
                raise UnreadablePicture("its 16-bit colors use at most 12 bits, so it would be almost black; convert it to 8 bits")
            content = hashlib.sha256(f"{turned.size}".encode())
            content.update(turned.tobytes())
            return Inspection(turned.size, content.hexdigest(), stored, bits, frames=frames)
    except Exception as error:  # decoders raise whatever a damaged file makes them
        return Inspection((0, 0), "", 1, 8, _reason(error, path))


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error.__context__, UnidentifiedImageError):
        with path.open("rb") as file:
            start = file.read(200)
        if start.startswith(LFS_POINTER.encode()):
            return "it is a pointer of git LFS; run `git lfs pull`"
        if start[4:8] == b"ftyp" and "HEIF" not in formats() and path.suffix.lower() in (".heic", ".heif"):
            return "HEIC needs `pip install 'kdflow[heif]'`"
    reasons: dict[type[Exception], str] = {FileNotFoundError: "the file is missing", PermissionError: "this user must not read it"}
    return reasons.get(type(error)) or getattr(error, "strerror", "") or str(error) or type(error).__name__


def drop_unreadable(dataset: RawDataset, inspections: Mapping[Path, Inspection], skip: bool, parameter: str = "data.path") -> list[Finding]:
    """Drop the pictures that cannot be decoded from `dataset`, in place; `parameter` names its folder.

    Raises:
        InputError: if there are some and `skip` is False, or none is left of a split; it names the first ten.
    """
    unreadable = [path for path, inspection in inspections.items() if inspection.error]
    if not unreadable:
        return []
    listed = _list([f"{path} ({inspections[path].error})" for path in unreadable])
    problem = f"{counted(len(unreadable), 'pictures cannot be decoded')}: {listed}"
    if not skip:
        raise InputError(parameter, problem, "replace them, remove them with their labels, or set data.skip_unreadable: true")
    for split, pictures in dataset.splits.items():
        kept = [picture for picture in pictures if not inspections[picture.path].error]
        if pictures and not kept:
            raise InputError(parameter, f"{problem}; no picture of {split} is left", "replace them")
        pictures[:] = kept
    reasons = [f"{path.name}: {inspections[path].error}" for path in unreadable]
    return find("unreadable pictures", reasons, "pictures cannot be decoded; dropped", "replace them")


def check_sizes(dataset: RawDataset, inspections: Mapping[Path, Inspection]) -> None:
    """Compare the sizes in the labels with those of the pictures.

    Raises:
        InputError: if some differ; it names the label file of the first and the first ten pictures.
    """
    wrong = [p for pictures in dataset.splits.values() for p in pictures if (p.width, p.height) != inspections[p.path].size]
    if wrong:
        sizes = [(f"{p.width}x{p.height}", "{}x{}".format(*inspections[p.path].size)) for p in wrong]
        problem = f"width and height of {wrong[0].path.name} are {sizes[0][0]}, but the picture has {sizes[0][1]} pixels"
        others = [f"{p.path.name} ({size}, not {declared})" for p, (declared, size) in zip(wrong, sizes, strict=True)][1:]
        more = f", and {counted(len(others), 'other pictures')}: {_list(others, MAX_LISTED - 1)}" if others else ""
        raise InputError(wrong[0].label_file, problem + more, "give the size and boxes with the EXIF orientation applied")


def has_hidden_rotation(inspection: Inspection) -> bool:
    """Whether the EXIF orientation changes the picture but not its size, so that labels without it have the same size."""
    width, height = inspection.size
    return inspection.orientation in SAME_SIZE or (inspection.orientation != 1 and width == height)


def picture_findings(dataset: RawDataset, inspections: Mapping[Path, Inspection]) -> list[Finding]:
    """Pictures whose pixels or orientation need a look."""
    paths = [picture.path for pictures in dataset.splits.values() for picture in pictures]
    dark = [path.name for path in paths if inspections[path].bits == 12]
    paged = [f"{path.name}: {inspections[path].frames}" for path in paths if inspections[path].frames > 1]
    turned = [path.name for path in paths if has_hidden_rotation(inspections[path])]
    remedy = "check that the boxes fit, because some tools label without the orientation; `kdflow check` draws them"
    return [
        *find(
            "12-bit pictures", dark, "16-bit pictures have values below 4096 and are read as 12-bit", "check that they are not just dark"
        ),
        *find("pictures with pages", paged, "pictures have several pages or frames, and only the first is used", "save the others, too"),
        *find("upside-down pictures", turned, "pictures are upside down or mirrored without their EXIF orientation", remedy),
    ]


def _list(names: Sequence[str], count: int = MAX_LISTED) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
