"""Memory of a process, from Linux's /proc; not `resource.getrusage`, which counts the memory of the process that started this one, too."""

import re
from pathlib import Path

import psutil

PROC = Path("/proc")


def peak_memory() -> float:
    """The largest number of bytes that this process had in memory; NaN on other systems."""
    return _kilobytes(PROC / "self/status", "VmHWM") * 1024


def private_memory() -> float:
    """Bytes of this process and those that it started, without mapped files and shared memory; NaN on other systems.

    What a process shares with the one that it was forked from counts once, until one of them writes to it.
    """
    process = psutil.Process()
    ids = [process.pid, *(child.pid for child in process.children(recursive=True))]
    return sum(_kilobytes(PROC / str(pid) / "smaps_rollup", "Pss_Anon") for pid in ids) * 1024


def _kilobytes(path: Path, name: str) -> float:
    found = re.search(rf"^{name}:\s*(\d+) kB", path.read_text(), re.MULTILINE) if path.exists() else None
    return int(found[1]) if found else float("nan")
