"""Trainings side by side: a small network does not fill several cores, several small networks do."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

import torch

from kd.memory import JOBS
from kd.threads import thread_count

Key = TypeVar("Key")
Job = Callable[[], None]
"""Has to be picklable where several run at a time."""


def finished(jobs: Mapping[Key, Job], at_once: int) -> Iterator[tuple[Key, Job]]:
    """Do the jobs, `at_once` of them at a time, each with its share of the cores.

    Yields:
        The key of each as it ends, in their order if one runs at a time, and a function that has to be called: it raises
        what the job raised.
    """
    if at_once == 1:
        yield from jobs.items()
        return
    with _processes(at_once) as pool:
        keys = {pool.submit(job): key for key, job in jobs.items()}
        for future in as_completed(keys):
            yield keys[future], future.result


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes, because a fork would inherit torch's threads in an unknown state; after an error none begins that waits."""
    threads = max(1, thread_count() // count)
    pool = ProcessPoolExecutor(count, get_context("spawn"), _take_share, (threads, count))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _take_share(threads: int, count: int) -> None:
    torch.set_num_threads(threads)
    os.environ[JOBS] = str(count)
