"""Telling others of a decision: a shell command gets it as JSON. What becomes of that never holds a decision up for long."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

from components.runtime.recorder import mask_passwords

SECONDS = 10.0
"""How long the command may take."""


def tell(command: str, message: dict[str, Any], seconds: float = SECONDS) -> None:
    """Run `command` with `message` as JSON on its input; a failure is a line on stderr, and nothing else."""
    try:
        # a session of its own, so that what the shell started can be ended with it
        process = subprocess.Popen(
            command, shell=True, text=True, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        return _complain(str(error))
    try:
        _, said = process.communicate(json.dumps(message, sort_keys=True), timeout=seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return _complain(f"took longer than {seconds:g} seconds and was stopped")
    if process.returncode:
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        _complain(f"ended with {process.returncode}: {mask_passwords(last)[:300]}")


def _complain(problem: str) -> None:
    print(f"register_model.notify: {problem}; the decision stands", file=sys.stderr)
