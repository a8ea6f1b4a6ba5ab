"""Console output of a pipeline run on this machine: progress and messages of each step. Everything else goes to a log file per step."""

import io
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple, TextIO

from rich.table import Table

from components.runtime.text import mask_passwords

COLORS = re.compile(r"\x1b\[\d+m")
STARTED = re.compile(r"Executing task '([\w-]+)'")
ENDED = re.compile(r"Task '([\w-]+)' finished with status '?(\w+)")
CACHED = re.compile(r"Task ([\w-]+) cache hit")
KFP_PREFIX = "[KFP Executor"  # starts the log lines of Kubeflow's executor, and of libraries that log in its process


class StepResult(NamedTuple):
    """The result of a step: "ran", "cached" or "failed", and its duration in seconds."""

    state: str
    seconds: float


class ConsoleOutput(io.TextIOBase):
    """Replaces stdout while `kfp.local` runs, and parses its messages (of kfp 2.17) about the start and end of steps.

    Attributes:
        steps: the steps that have ended, in order.
        current: the step that runs, or failed; "" before the first one.
        error: the error message of the current step; "" if there is none.
    """

    def __init__(self, logs: Path, stream: TextIO | None = None) -> None:
        self.steps: dict[str, StepResult] = {}
        self.current = self.error = ""
        self._logs, self._stream = logs, stream or sys.stdout
        self._line = ""
        self._in_dump = False  # within the dump of a task's input, which has several lines
        self._start = self._step_start = time.monotonic()
        logs.mkdir(parents=True, exist_ok=True)

    def log(self, step: str) -> Path:
        """The log file of a step."""
        return self._logs / f"{step}.log"

    def write(self, text: str) -> int:
        """Accept text in pieces of any length; each complete line is processed."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._process(COLORS.sub("", line))
        return len(text)

    def _process(self, line: str) -> None:
        if match := CACHED.search(line):
            self._end_step(_step_name(match[1]), "cached", 0.0)
        elif match := STARTED.search(line):
            self._start_step(_step_name(match[1]))
        elif match := ENDED.search(line):
            state = "ran" if match[2] == "SUCCESS" else "failed"
            self._end_step(_step_name(match[1]), state, time.monotonic() - self._step_start)
        elif line.startswith("    ") and self.current not in self.steps:  # kfp indents the output of a task
            self._process_output(mask_passwords(line.removeprefix("    ")))

    def _start_step(self, step: str) -> None:
        self.current, self.error, self._step_start = step, "", time.monotonic()
        self.log(step).unlink(missing_ok=True)
        self.log(step).touch(mode=0o600)  # the output may contain what only the user may read
        self._print(f"{step} ...")

    def _process_output(self, line: str) -> None:
        """Log a line of the current step, and print it unless it comes from Kubeflow."""
        with self.log(self.current).open("a") as log:
            log.write(line + "\n")
        if line.startswith("error: "):
            self.error = line.removeprefix("error: ")
        elif line.startswith(KFP_PREFIX):
            self._in_dump = line.endswith("Got executor_input:")
        elif self._in_dump:
            self._in_dump = line != "}"
        elif line.strip():
            self._stream.write(f"          {line}\n")
            self._stream.flush()

    def _end_step(self, step: str, state: str, seconds: float) -> None:
        self.current, self.steps[step] = step, StepResult(state, seconds)
        self._print(f"{step}: {'unchanged, from the cache' if state == 'cached' else f'{state} {seconds:.1f} s'}")

    def _print(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        self._stream.write(f"{minutes:4d}:{seconds:02d}  {text}\n")
        self._stream.flush()


def results_table(steps: dict[str, StepResult], digests: dict[str, str]) -> Table:
    """A table of the steps: state, duration, and the digest of the output."""
    table = Table("step", "", "seconds", "digest")
    for name, step in steps.items():
        table.add_row(name, step.state, f"{step.seconds:.1f}", digests.get(name, "")[:16])
    return table


def _step_name(task: str) -> str:
    return task.replace("-", "_")
