"""Write to a tracking store in a background thread, so that a slow or broken store cannot delay or fail a step."""

import queue
import sys
import threading
from collections.abc import Callable

from components.runtime.text import one_line

Task = Callable[[], object]


class BackgroundRecorder:
    """Runs tasks one after the other in a thread. If a task fails, a warning is printed to stderr and the next task runs."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._warned: set[str] = set()
        self.last_error = ""
        # a daemon thread, so that a request that never returns does not keep the process alive
        threading.Thread(target=self._run, name="recorder", daemon=True).start()

    def submit(self, task: Task) -> None:
        """Queue a task and return at once."""
        self._tasks.put(task)

    def flush(self, timeout: float) -> bool:
        """Wait until all tasks submitted so far are done. Returns False if that takes more than `timeout` seconds."""
        done = threading.Event()
        self.submit(done.set)
        return done.wait(timeout)

    def close(self) -> None:
        """End the thread after the tasks submitted so far."""
        self._tasks.put(None)

    def warn(self, message: str) -> None:
        """Print a warning to stderr, the same one only once, and keep it as `last_error`."""
        self.last_error = message
        if message not in self._warned:
            self._warned.add(message)
            print(f"tracking: {message}; the step goes on", file=sys.stderr)

    def _run(self) -> None:
        while task := self._tasks.get():
            try:
                task()
            except Exception as error:  # no error of the store may stop the thread or the step
                self.warn(one_line(error))
