"""Memory that a process has, and that it does not share."""

import math
import mmap
import multiprocessing
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks import memory
from benchmarks.memory import peak_memory, private_memory

SIZE = 40_000_000


def test_the_peak_is_that_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert peak_memory() >= 0.9 * psutil.Process().memory_info().rss
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text("VmPeak:\t 9 kB\nVmHWM:\t   7 kB\nVmRSS:\t 5 kB\n")
    monkeypatch.setattr(memory, "PROC", tmp_path)
    assert peak_memory() == 7 * 1024


def test_other_systems_do_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PROC", tmp_path)
    assert math.isnan(peak_memory()) and math.isnan(private_memory())


def test_private_memory_is_what_is_written() -> None:
    before = private_memory()
    content = mmap.mmap(-1, SIZE, mmap.MAP_PRIVATE)  # not `malloc`, which may keep what is freed
    np.frombuffer(content, dtype=np.uint8)[:] = 1
    assert private_memory() - before == pytest.approx(SIZE, rel=0.1)
    content.close()
    assert private_memory() - before == pytest.approx(0, abs=0.1 * SIZE)


def test_a_mapped_file_is_not_private(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(SIZE, dtype=np.uint8))
    before = private_memory()
    assert np.load(tmp_path / "a.npy", mmap_mode="r").sum() == SIZE
    assert private_memory() - before < 0.1 * SIZE


def test_started_processes_count_with_what_they_do_not_share() -> None:
    before = private_memory()
    parent, child = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(child,))
    process.start()
    parent.recv()
    held = private_memory() - before
    parent.send(None)
    process.join()
    assert held == pytest.approx(SIZE, rel=0.3)


def _hold(connection) -> None:
    content = np.ones(SIZE, dtype=np.uint8)
    connection.send(len(content))
    connection.recv()
