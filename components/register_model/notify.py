"""Notify others of a decision or a failed run: a shell command receives it as JSON. It may fail or be slow without an effect on either."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

from components.runtime.text import mask_passwords

TIMEOUT = 10.0
"""Seconds until the command is stopped."""


def notify(command: str, message: dict[str, Any], timeout: float = TIMEOUT) -> None:
    """Run `command` with `message` as JSON on its standard input. If it fails, print one line to stderr."""
    try:
        # in a session of its own, so that its child processes are stopped with it
        process = subprocess.Popen(
            command,
            shell=True,
            text=True,
            errors="replace",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        _warn(str(error))
        return
    try:
        _, stderr = process.communicate(json.dumps(message, sort_keys=True) + "\n", timeout=timeout)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _warn(f"took longer than {timeout:g} seconds and was stopped")
        return
    if process.returncode:
        last_line = (stderr.strip().splitlines() or ["no error output"])[-1]
        _warn(f"ended with {process.returncode}: {mask_passwords(last_line)[:300]}")


def _warn(problem: str) -> None:
    print(f"register_model.notify: {problem}; nobody was notified", file=sys.stderr)
