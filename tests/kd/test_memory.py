import platform
import subprocess
import sys
from pathlib import Path

import pytest

from kd.memory import free_memory, free_memory_share

MEMINFO = "MemTotal:  16000 kB\nMemFree:  1000 kB\nMemAvailable:  8000 kB\n"
V2 = {"proc/self/cgroup": "0::/pod/step\n", "proc/meminfo": MEMINFO}
V1 = {"proc/self/cgroup": "9:memory:/pod\n0::/\n", "proc/meminfo": MEMINFO}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def v2(group: str, limit: str, usage: str, cached: int = 0) -> dict[str, str]:
    folder = f"sys/fs/cgroup{group}/memory."
    return {folder + "max": limit, folder + "current": usage, folder + "stat": f"anon 5\ninactive_file {cached}\nactive_file 7\n"}


def v1(limit: str, usage: str, cached: int) -> dict[str, str]:
    folder = "sys/fs/cgroup/memory/pod/memory."
    return {
        folder + "limit_in_bytes": limit,
        folder + "usage_in_bytes": usage,
        folder + "stat": f"inactive_file 1\ntotal_inactive_file {cached}\n",
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/meminfo": MEMINFO}, 8192000),
        ({}, 0),
        (V2 | v2("/pod/step", "max", "500"), 8192000),
        (V2 | v2("/pod/step", "3000", "1000", cached=200), 2200),
        (V2 | v2("/pod/step", "max", "1000") | v2("/pod", "4000", "1500"), 2500),
        (V2 | v2("", "1000", "1500"), 0),  # in a container, where the path is the host's
        (V1 | v1("3000", "1000", cached=300), 2300),
        (V1 | v1("9223372036854771712", "1000", cached=300), 8192000),
    ],
)
def test_the_smaller_of_what_the_machine_and_the_limit_leave(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert free_memory(write(tmp_path, files)) == expected


def test_processes_of_one_machine_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_memory_share(write(tmp_path, V2)) == 2048000
    monkeypatch.setenv("KDFLOW_JOBS", "2")
    assert free_memory_share(tmp_path) == 1024000


def test_this_machine_has_free_memory() -> None:
    assert (free_memory() > 2**20) == Path("/proc/meminfo").exists()


PROGRAM = """
import resource, sys
from kd.memory import keep_freed_memory
if "keep" in sys.argv:
    keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(100_000_000)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such option")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    counts = []
    for arguments in (["keep"], []):
        printed = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=True, capture_output=True, text=True).stdout
        counts.append([int(line) for line in printed.split()])
    kept, returned = counts
    assert max(kept[1:]) * 10 < min(returned), "pages may have any size"
