import os
import subprocess
import sys
from pathlib import Path

import pytest

from kd.errors import InputError
from kd.threads import thread_count

ROOT = Path(__file__).parents[2]
V1 = {"proc/self/cgroup": "4:memory:/pod\n3:cpu,cpuacct:/pod/step\n0::/\n"}
V2 = {"proc/self/cgroup": "0::/pod/step\n"}
HOOK = """
import os, runpy, sys
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ["OMP_WAIT_POLICY"], os.environ["OMP_NUM_THREADS"])
            sys.exit()
sys.meta_path.insert(0, Hook())
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
ENTRIES = [
    ["kd", "show", "model.safetensors"],
    ["pipeline.kdflow", "show", "model.safetensors"],
    ["components.train_teacher", "--help"],
    ["components.evaluate", "--help"],
    ["benchmarks.step_cost", "--help"],
]


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process may run on eight processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def cfs(folder: str, quota: int) -> dict[str, str]:
    return {f"sys/fs/cgroup/cpu{folder}/cpu.cfs_quota_us": f"{quota}\n", f"sys/fs/cgroup/cpu{folder}/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        (V2 | {"sys/fs/cgroup/pod/step/cpu.max": "400000 100000\n"}, 4),
        (V2 | {"sys/fs/cgroup/pod/step/cpu.max": "390000 100000\n"}, 3),
        (V2 | {"sys/fs/cgroup/pod/step/cpu.max": "50000 100000\n"}, 1),
        (V2 | {"sys/fs/cgroup/pod/step/cpu.max": "max 100000\n"}, 8),
        (V2 | {"sys/fs/cgroup/pod/step/cpu.max": "6400000 100000\n"}, 8),
        (V2 | {"sys/fs/cgroup/pod/step/cpu.max": "max 100000\n", "sys/fs/cgroup/pod/cpu.max": "200000 100000\n"}, 2),
        (V2 | {"sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3),  # in a container, where the path is the host's
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 50000\n"}, 3),
        (V1 | cfs("/pod/step", 200000), 2),
        (V1 | cfs("/pod/step", 99999), 1),
        (V1 | cfs("/pod/step", -1), 8),
        (V1 | cfs("/pod/step", -1) | cfs("/pod", 500000), 5),
        (V1 | cfs("", 350000), 3),
    ],
)
@pytest.mark.usefixtures("eight")
def test_the_machine_gives_the_smaller_of_quota_and_processors(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert thread_count({}, write(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"KDFLOW_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"KDFLOW_THREADS": "", "OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "5,2"}, 5),
        ({"KDFLOW_THREADS": "16"}, 16),
        ({"LOCAL_WORLD_SIZE": "2"}, 2),
        ({"LOCAL_WORLD_SIZE": "3"}, 1),
        ({"LOCAL_WORLD_SIZE": "8"}, 1),
        ({"LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "5"}, 5),
    ],
)
@pytest.mark.usefixtures("eight")
def test_a_number_of_the_user_is_per_process_and_wins(tmp_path: Path, environment: dict[str, str], expected: int) -> None:
    assert thread_count(environment, write(tmp_path, V2 | {"sys/fs/cgroup/cpu.max": "500000 100000"})) == expected


def test_without_affinity_all_processors_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert thread_count({}, tmp_path) == 6


@pytest.mark.parametrize("name", ["KDFLOW_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize("value", ["0", "-2", "1.5", "all", "²"])
def test_an_invalid_number_is_an_error(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"{name}: is '{value}', not a positive integer"):
        thread_count({name: value})


def start(entry: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")} | variables
    return subprocess.run([sys.executable, "-c", HOOK, *entry], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry[0])
def test_a_command_sets_its_threads_before_torch_is_loaded(entry: list[str]) -> None:
    assert start(entry, KDFLOW_THREADS="7").stdout == "PASSIVE 7\n"
    assert start(entry, OMP_NUM_THREADS="3", OMP_WAIT_POLICY="ACTIVE").stdout == "ACTIVE 3\n"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry[0])
def test_an_invalid_number_stops_a_command_in_one_line(entry: list[str]) -> None:
    ended = start(entry, KDFLOW_THREADS="many")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: KDFLOW_THREADS: is 'many', not a positive integer; set it to the number of threads, or unset it\n"
