"""A progress bar with rate and time left; plain lines if the output is not a terminal."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")


class Progress:
    """Shows the progress of `total` units of work.

    On a terminal one line is redrawn at most ten times a second. Elsewhere a line is printed every `every` seconds, and at the
    end if the work took longer than two seconds. If it is not `enabled`, nothing is shown.
    """

    def __init__(
        self,
        title: str,
        total: int,
        unit: str = "pictures",
        every: float = 15.0,
        stream: TextIO | None = None,
        enabled: bool = True,
    ) -> None:
        self.title, self.total, self.unit, self.enabled = title, total, unit, enabled
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.interval = 0.1 if self.terminal else every
        self.done = 0
        self.start = self.last_shown = time.monotonic()

    def advance(self, count: int = 1, note: Callable[[], str] = str) -> None:
        """Count `count` units as done. `note` is called only when the bar is drawn; its result is shown behind the bar."""
        self.done += count
        now = time.monotonic()
        if self.enabled and now - self.last_shown >= self.interval:
            self.last_shown = now
            self._show(note())

    def write(self, line: str) -> None:
        """Print a line; on a terminal the bar is redrawn below it."""
        self.stream.write(("\r\033[K" if self.terminal else "") + line + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Show the final state and end the line."""
        if self.enabled and (self.terminal or time.monotonic() - self.start > 2):
            self._show("")
            if self.terminal:
                self.stream.write("\n")

    def _show(self, note: str) -> None:
        seconds = max(time.monotonic() - self.start, 1e-6)
        rate = self.done / seconds
        left = (self.total - self.done) / rate if rate else float("inf")
        text = f"{self.title} {self.done}/{self.total} {self.unit}, {rate:.1f}/s, {_clock(left)} left"
        text += f"  {note}" if note else ""
        if self.terminal:
            filled = 20 * self.done // max(self.total, 1)
            self.stream.write(f"\r\033[K[{'#' * filled}{'.' * (20 - filled)}] {text}")
        else:
            self.stream.write(text + "\n")
        self.stream.flush()


def track(items: Iterable[T], title: str, total: int, unit: str = "pictures", enabled: bool = True) -> Iterator[T]:
    """Yield `items` and show their progress if `enabled`."""
    progress = Progress(title, total, unit, enabled=enabled)
    try:
        for item in items:
            yield item
            progress.advance()
    finally:
        progress.close()


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
