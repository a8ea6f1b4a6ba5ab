"""How many threads a process uses, and how they wait; decided before torch is loaded, because OpenMP reads its settings once.

By default the threads of OpenMP spin while they wait, so that a busy neighbor slows a training down several times over. In a
container with a CPU quota, OpenMP counts the processors of the whole machine.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from kd.cgroups import control_groups, read_text
from kd.errors import InputError

VARIABLES = ("KDFLOW_THREADS", "OMP_NUM_THREADS")


def configure_threads() -> int:
    """Set the variables of OpenMP for this process and those that it starts, and return the number of threads.

    `OMP_WAIT_POLICY` is set only where the user has not set it.

    Raises:
        InputError: as `thread_count`.
    """
    threads = thread_count()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    return threads


def thread_count(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> int:
    """The number of threads of this process, at least 1.

    It is `KDFLOW_THREADS`, or else `OMP_NUM_THREADS`, or else that of `processor_share`. `torchrun` itself sets `OMP_NUM_THREADS` to
    1 if it starts several processes.

    Args:
        environment: the environment variables.
        root: folder that contains `proc/self/cgroup` and `sys/fs/cgroup`.

    Raises:
        InputError: if a variable is not a positive integer.
    """
    for name in VARIABLES:
        if value := environment.get(name):
            number = value.split(",")[0].strip()  # OpenMP allows one number per level of nested parallelism
            if not (number.isascii() and number.isdecimal() and int(number)):
                raise InputError(name, f"is '{value}', not a positive integer", "set it to the number of threads, or unset it")
            return int(number)
    return processor_share(environment, root)


def processor_share(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> int:
    """The number of processors of this process, at least 1.

    It is the CPU quota of the control group rounded down, or the number of processors that this process may run on if that is less,
    divided by the number of processes that `torchrun` started on this machine.

    Args:
        environment: the environment variables.
        root: folder that contains `proc/self/cgroup` and `sys/fs/cgroup`.
    """
    processors = min(available_processors(), max(int(_quota(root)), 1))
    return max(processors // int(environment.get("LOCAL_WORLD_SIZE", 1)), 1)


def available_processors() -> int:
    """The number of processors that this process may run on; all of the machine where the system has no such limit, as macOS."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(root: Path) -> float:
    """The smallest CPU quota of the process's control groups, in processors; `sys.maxsize` without one."""
    quotas: list[float] = [sys.maxsize]
    for group in control_groups("cpu", root):
        quotas.append(_ratio(*read_text(group / "cpu.max").split()))
        quotas.append(_ratio(read_text(group / "cpu.cfs_quota_us"), read_text(group / "cpu.cfs_period_us")))
    return min(quotas)


def _ratio(quota: str = "", period: str = "") -> float:
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else sys.maxsize
