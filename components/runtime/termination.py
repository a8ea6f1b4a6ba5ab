"""End a process on SIGTERM within a moment, because Kubeflow kills a step's container 0.7 s later, whatever its grace period."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TIMEOUT = 2.0
"""Seconds for the last attempt to record something."""
EXIT_CODE = 128 + signal.SIGTERM


@contextmanager
def on_sigterm(task: Callable[[], object]) -> Iterator[None]:
    """On SIGTERM call `task` once in a thread, for at most `TIMEOUT` seconds, and end the process with `EXIT_CODE`.

    A thread waits for the signal, because Python calls a handler only when the main thread leaves native code, which can take
    longer than the time that is left. Outside the main thread, which alone can handle signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    previous = signal.signal(signal.SIGTERM, _ignore)
    previous_writer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(reader, task), name="sigterm", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous_writer)
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)
        os.close(writer)


def _ignore(number: int, frame: FrameType | None) -> None:
    """The handler: Python then writes the signal's number to the pipe."""


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _restore_default() -> None:
    """In a forked child: its signals must not reach the pipe of its parent."""
    if signal.getsignal(signal.SIGTERM) is _ignore:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _unblock()


os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_restore_default)


def _wait(reader: int, task: Callable[[], object]) -> None:
    while received := os.read(reader, 1):  # one byte per signal, with its number; none when the writer is closed
        if received[0] == signal.SIGTERM:
            attempt = threading.Thread(target=task, daemon=True)
            attempt.start()
            attempt.join(TIMEOUT)
            os._exit(EXIT_CODE)
    os.close(reader)
