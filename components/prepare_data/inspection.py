"""Decode every picture once, in parallel: is it intact, what size does it have, and which pictures are identical?"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from components.prepare_data.findings import Finding, find
from components.prepare_data.layouts.dataset import RawDataset
from components.prepare_data.layouts.pictures import map_parallel
from kd.data.letterbox import UnreadablePicture, as_rgb, open_picture, orientation, upright, used_bits
from kd.errors import InputError

MAX_LISTED = 10
"""Files that an error lists."""
UPSIDE_DOWN = 3
"""The EXIF orientation of a picture that is turned by 180 degrees."""


class Inspection(NamedTuple):
    """What decoding showed.

    Attributes:
        size: width and height in pixels, with the EXIF orientation applied.
        digest: SHA-256 of the size and the upright RGB pixels.
        orientation: the EXIF orientation, 1 to 8.
        bits: of a pixel's value: 8, 12 or 16.
        error: why the picture cannot be decoded; "" if it can.
    """

    size: tuple[int, int]
    digest: str
    orientation: int
    bits: int
    error: str = ""


def inspect_pictures(dataset: RawDataset) -> dict[Path, Inspection]:
    """Decode all pictures of `dataset`, with a progress bar."""
    paths = list({picture.path for pictures in dataset.splits.values() for picture in pictures})
    paths.sort()
    return dict(zip(paths, map_parallel(inspect_picture, paths, "decode pictures"), strict=True))


def inspect_picture(path: Path) -> Inspection:
    """Decode one picture."""
    try:
        with open_picture(path) as image:
            bits = used_bits(image) if image.mode.startswith("I;16") else 8
            turned, image_orientation = upright(as_rgb(image), orientation(image)), orientation(image)
            content = hashlib.sha256(f"{turned.size}".encode())
            content.update(turned.tobytes())
            return Inspection(turned.size, content.hexdigest(), image_orientation, bits)
    except UnreadablePicture as error:
        return Inspection((0, 0), "", 1, 8, str(error))
    except OSError as error:
        return Inspection((0, 0), "", 1, 8, "the file is missing" if isinstance(error, FileNotFoundError) else str(error))
    except Exception as error:  # decoders raise whatever a damaged file makes them
        return Inspection((0, 0), "", 1, 8, str(error) or type(error).__name__)


def drop_unreadable(dataset: RawDataset, inspections: Mapping[Path, Inspection], skip: bool) -> list[Finding]:
    """Drop the pictures that cannot be decoded from `dataset`, in place.

    Raises:
        InputError: if there are some and `skip` is False; it names the first ten.
    """
    unreadable = [path for path, inspection in inspections.items() if inspection.error]
    if not unreadable:
        return []
    if not skip:
        listed = ", ".join(f"{path} ({inspections[path].error})" for path in unreadable[:MAX_LISTED])
        more = f" and {len(unreadable) - MAX_LISTED} more" if len(unreadable) > MAX_LISTED else ""
        remedy = "replace them, remove them with their labels, or set data.skip_unreadable: true"
        raise InputError("data.path", f"{len(unreadable)} pictures cannot be decoded: {listed}{more}", remedy)
    for pictures in dataset.splits.values():
        pictures[:] = [picture for picture in pictures if not inspections[picture.path].error]
    return find("unreadable pictures", [path.name for path in unreadable], "pictures cannot be decoded; dropped", "replace them")


def check_sizes(dataset: RawDataset, inspections: Mapping[Path, Inspection]) -> None:
    """Compare the sizes in the labels with those of the pictures.

    Raises:
        InputError: naming the first label file, and the number of pictures with another size.
    """
    wrong = [p for pictures in dataset.splits.values() for p in pictures if (p.width, p.height) != inspections[p.path].size]
    if wrong:
        first, size = wrong[0], inspections[wrong[0].path].size
        declared = f"{first.width}x{first.height}"
        more = f" ({len(wrong) - 1} more pictures differ)" if len(wrong) > 1 else ""
        problem = f"width and height of {first.path.name} are {declared}, but the picture has {size[0]}x{size[1]} pixels{more}"
        raise InputError(first.label_file, problem, "give the size and boxes with the EXIF orientation applied")


def picture_findings(dataset: RawDataset, inspections: Mapping[Path, Inspection]) -> list[Finding]:
    """Pictures whose pixels or orientation need a look."""
    paths = [picture.path for pictures in dataset.splits.values() for picture in pictures]
    dark = [path.name for path in paths if inspections[path].bits == 12]
    turned = [path.name for path in paths if inspections[path].orientation == UPSIDE_DOWN]
    remedy = "check that the boxes fit, because some tools label without the orientation; `kdflow check` draws them"
    return [
        *find(
            "12-bit pictures", dark, "16-bit pictures have values below 4096 and are read as 12-bit", "check that they are not just dark"
        ),
        *find("upside-down pictures", turned, "pictures are turned by 180 degrees by their EXIF orientation", remedy),
    ]
