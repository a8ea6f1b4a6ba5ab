"""Process many pictures in threads, and read their sizes where the labels do not give them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
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


def map_parallel(function: Callable[[In], Out], items: Sequence[In], title: str, per_task: int = 0) -> Iterator[Out]:
    """Yield `function(item)` for all items in their order, computed in threads, and show the progress.

    Few results wait to be asked for, so that large ones do not fill the memory.

    Args:
        function: what is computed.
        items: what for.
        title: of the progress bar.
        per_task: items that a thread takes at once; 0 for a number that suits short computations with small results.
    """
    size = per_task or min(100, 1 + len(items) // 100)  # a task per item would take longer than a short item
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    threads = available_processors() + 1  # more only compete for the interpreter; one of them may wait for the disk
    with ThreadPoolExecutor(threads) as pool:
        results = _map_ahead(pool, lambda part: [function(item) for item in part], parts, 2 * threads)
        yield from track(chain.from_iterable(results), title, len(items))


def _map_ahead(pool: Executor, function: Callable[[In], Out], items: Iterable[In], ahead: int) -> Iterator[Out]:
    """`pool.map`, which would compute all results at once, with at most `ahead` of them that were not asked for yet."""
    waiting: deque[Future[Out]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
