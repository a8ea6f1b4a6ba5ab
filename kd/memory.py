"""How much memory is free, and what happens to memory that is freed."""

import ctypes
import os
import re
import sys
from pathlib import Path

from kd.cgroups import control_groups, read_text

JOBS = "KDFLOW_JOBS"
"""Variable with the number of trainings that run side by side, each of which may take its part of the memory."""


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Options of `mallopt` in glibc."""


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, because the next picture or step of a network needs as much again.

    By default glibc returns large blocks to the system. To get new ones takes time, and makes the threads that decode pictures wait for
    each other. Other C libraries have no such option and are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_MAX, 0)  # a block with a mapping of its own is returned as soon as it is freed
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that this process can use: what the machine has available, or what the limit of a control group leaves if that is less.

    0 where the system does not say, as on macOS.

    Args:
        root: folder that contains `proc` and `sys`.
    """
    available = int(_find(r"MemAvailable:\s*(\d+) kB", read_text(root / "proc/meminfo"), "0")) * 1024
    return max(min([available, *map(_left, control_groups("memory", root))]), 0)


def free_memory_share(root: Path = Path("/")) -> int:
    """This process's part of the free memory, if `torchrun` or a benchmark has started several processes on this machine."""
    return free_memory(root) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) // int(os.environ.get(JOBS, 1))


def _left(group: Path) -> int:
    """The bytes between a control group's limit and its usage; the kernel frees cached files when they are needed."""
    limit = read_text(group / "memory.max") or read_text(group / "memory.limit_in_bytes")
    usage = read_text(group / "memory.current") or read_text(group / "memory.usage_in_bytes")
    if not (limit.isdecimal() and usage.isdecimal()):  # "max" if there is no limit
        return sys.maxsize
    statistics = read_text(group / "memory.stat")
    cached = _find(r"^total_inactive_file (\d+)$", statistics, _find(r"^inactive_file (\d+)$", statistics, "0"))
    return int(limit) - int(usage) + int(cached)


def _find(pattern: str, text: str, default: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else default
