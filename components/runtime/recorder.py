"""A courier takes records to a store in a thread of its own, so that no store can make a step wait or fail."""

import queue
import re
import sys
import threading
from collections.abc import Callable

Errand = Callable[[], object]


class BackgroundRecorder:
    """Runs errands one after the other; one that fails becomes one line on stderr, and the next one follows."""

    def __init__(self) -> None:
        self._errands: queue.SimpleQueue[Errand | None] = queue.SimpleQueue()
        self._warned: set[str] = set()
        # a daemon: an errand that hangs in a dead store does not keep the process from ending
        threading.Thread(target=self._work, name="courier", daemon=True).start()

    def send(self, errand: Errand) -> None:
        """Hand over an errand and return at once."""
        self._errands.put(errand)

    def wait(self, seconds: float) -> bool:
        """Wait until all errands so far are done; False if `seconds` were not enough."""
        done = threading.Event()
        self.send(done.set)
        return done.wait(seconds)

    def dismiss(self) -> None:
        """End the thread after the errands so far."""
        self._errands.put(None)

    def warn(self, line: str) -> None:
        """Show a problem, once."""
        if line not in self._warned:
            self._warned.add(line)
            print(f"tracking: {line}; the step goes on", file=sys.stderr)

    def _work(self) -> None:
        while errand := self._errands.get():
            try:
                errand()
            except Exception as error:  # whatever is wrong with the store, the step is worth more
                self.warn(one_line(error))


def one_line(error: Exception) -> str:
    """What is wrong, in one line of at most 300 characters, without the passwords of its addresses."""
    return mask_passwords((str(error) or type(error).__name__).strip().partition("\n")[0])[:300]


def mask_passwords(text: str) -> str:
    """`text` with the user name and password of every address in it replaced by stars."""
    return re.sub(r"://[^\s'\"]*@", "://***@", text)
