"""Process many pictures in threads, and read their sizes where the labels do not give them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

from components.shared.boxes import LabeledPicture
from kd.data.letterbox import UnreadablePicture, open_picture, shown_size
from kd.progress import track
from kd.threads import available_processors

In = TypeVar("In")
Out = TypeVar("Out")


def read_sizes(pictures: Sequence[LabeledPicture]) -> list[LabeledPicture]:
    """The pictures, with the size of the file instead of 0x0."""
    unknown = [picture.path for picture in pictures if not picture.width]
    sizes = dict(zip(unknown, map_parallel(read_size, unknown, "read sizes"), strict=True)) if unknown else {}
    return [p if p.width else replace(p, width=sizes[p.path][0], height=sizes[p.path][1]) for p in pictures]


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture in pixels, with its EXIF orientation applied; (0, 0) if it cannot be opened."""
    try:
        with open_picture(path) as image:
            return shown_size(image)
    except (UnreadablePicture, OSError):
        return 0, 0


def map_parallel(function: Callable[[In], Out], items: Sequence[In], title: str) -> Iterator[Out]:
    """Yield `function(item)` for all items in their order, computed in threads, and show the progress."""
    size = min(100, 1 + len(items) // 100)  # a task per item would take longer than a short item
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    # more threads only compete for the interpreter; one of them may wait for the disk
    with ThreadPoolExecutor(available_processors() + 1) as pool:
        results = pool.map(lambda part: [function(item) for item in part], parts)
        yield from track(chain.from_iterable(results), title, len(items))
