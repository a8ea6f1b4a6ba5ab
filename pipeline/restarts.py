"""Run a training in a child process, and start it again from its checkpoint if it crashes or is killed.

Kubeflow's stock settings retry a pod that was deleted, but not one whose process failed.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import FrameType

from kd.errors import write_termination_message

PAUSE = 10.0
"""Seconds before a restart, in which the system frees the memory of the killed process."""


def run_with_restarts(command: Sequence[str], title: str, restarts: int, environment: Mapping[str, str] | None = None) -> None:
    """Run `command` with more variables `environment` until it succeeds, at most `restarts` more times.

    Raises:
        SystemExit: with code 2 if the command reported an error of its input, which a restart cannot repair; with code 1 if it
            crashed too often; with code 143 after SIGTERM.
    """
    for attempt in range(restarts + 1):
        code, error = _run(command, environment or {})
        if not code:
            return
        if error:
            write_termination_message(error)
            sys.exit(2)
        cause = f"{title} was killed by signal {-code}" if code < 0 else f"{title} crashed with exit code {code}"
        if attempt < restarts:
            print(f"{cause}; restart {attempt + 1} of {restarts} resumes after its last epoch", file=sys.stderr, flush=True)
            time.sleep(PAUSE)
    problem = f"{cause}, after {restarts} restarts; its log shows the reason, and more memory helps if the system killed it"
    print(problem, file=sys.stderr)
    write_termination_message(problem)  # not as an error of the input: another node may succeed
    sys.exit(1)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """The exit code of `command`, negative for a signal, and the error line that it reported."""
    with NamedTemporaryFile(prefix="kdflow-error-") as file:
        child = subprocess.Popen(command, env={**os.environ, **environment, "KDFLOW_TERMINATION_LOG": file.name})

        stopped = False

        def stop(number: int, frame: FrameType | None) -> None:
            nonlocal stopped
            stopped = True
            child.terminate()

        previous = signal.signal(signal.SIGTERM, stop)
        try:
            code = child.wait()
        except KeyboardInterrupt:
            child.wait()  # a terminal sends Ctrl-C to the child, too
            raise
        finally:
            signal.signal(signal.SIGTERM, previous)
        if stopped:
            sys.exit(128 + signal.SIGTERM)
        return code, Path(file.name).read_text(encoding="utf-8").strip()
