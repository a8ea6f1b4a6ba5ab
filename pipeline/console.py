"""What a person sees of a run on this machine: each step with its time, and what it says; the rest goes to a log a step."""

import io
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple, TextIO

from rich.console import Console
from rich.table import Table

COLORS = re.compile(r"\x1b\[\d+m")
STARTED = re.compile(r"Executing task '([\w-]+)'")
ENDED = re.compile(r"Task '([\w-]+)' finished with status '?(\w+)")
CACHED = re.compile(r"Task ([\w-]+) cache hit")
EXECUTOR = "[KFP Executor"  # Kubeflow's own lines, and what libraries log at level INFO


class Step(NamedTuple):
    """How a step went: "ran", "cached" or "failed", and seconds."""

    state: str
    seconds: float


class ConsoleOutput(io.TextIOBase):
    """Takes the place of stdout while `kfp.local` runs, whose messages (of kfp 2.17) say which step starts and ends.

    Attributes:
        steps: the steps that have ended, in order.
        current: the step that runs, or failed; "" before the first.
        error: the line with which the last step refused its input; "" if it did not.
    """

    def __init__(self, logs: Path, stream: TextIO | None = None) -> None:
        self.steps: dict[str, Step] = {}
        self.current = self.error = ""
        self._logs, self._stream = logs, stream or sys.stdout
        self._line = ""
        self._dump = False  # inside the multi-line dump of a task's input
        self._start = self._began = time.monotonic()
        logs.mkdir(parents=True, exist_ok=True)

    def log(self, step: str) -> Path:
        """The file with all that a step said."""
        return self._logs / f"{step}.log"

    def write(self, text: str) -> int:
        """Take any piece of text; lines are handled as they are complete."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._take(COLORS.sub("", line))
        return len(text)

    def _take(self, line: str) -> None:
        if found := CACHED.search(line):
            self._end(_step(found[1]), "cached", 0.0)
        elif found := STARTED.search(line):
            self._begin(_step(found[1]))
        elif found := ENDED.search(line):
            self._end(_step(found[1]), "ran" if found[2] == "SUCCESS" else "failed", time.monotonic() - self._began)
        elif line.startswith("    ") and self.current not in self.steps:  # kfp indents what a task says
            self._hear(line.removeprefix("    "))

    def _begin(self, step: str) -> None:
        self.current, self.error, self._began = step, "", time.monotonic()
        self.log(step).write_text("")
        self._say(f"{step} ...")

    def _hear(self, line: str) -> None:
        """Keep a line of the step, and show it if the step itself wrote it."""
        with self.log(self.current).open("a") as log:
            log.write(line + "\n")
        if line.startswith("error: "):
            self.error = line.removeprefix("error: ")
        elif line.startswith(EXECUTOR):
            self._dump = line.endswith("Got executor_input:")
        elif self._dump:
            self._dump = line != "}"
        elif line.strip():
            self._stream.write(f"          {line}\n")
            self._stream.flush()

    def _end(self, step: str, state: str, seconds: float) -> None:
        self.current, self.steps[step] = step, Step(state, seconds)
        self._say(f"{step}: {'unchanged, from the cache' if state == 'cached' else f'{state} {seconds:.1f} s'}")

    def _say(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        self._stream.write(f"{minutes:4d}:{seconds:02d}  {text}\n")
        self._stream.flush()


def results_table(steps: dict[str, Step], digests: dict[str, str]) -> Table:
    """A row a step: what happened, how long it took, and the digest of what it left."""
    table = Table("step", "", "seconds", "digest")
    for name, step in steps.items():
        table.add_row(name, step.state, f"{step.seconds:.1f}", digests.get(name, "")[:16])
    return table


def show_results(steps: dict[str, Step], digests: dict[str, str]) -> None:
    """Print the table."""
    Console(highlight=False).print(results_table(steps, digests))


def _step(task: str) -> str:
    return task.replace("-", "_")
