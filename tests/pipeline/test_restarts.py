"""A training that crashes is started again; wrong input, SIGTERM and too many crashes end it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import restarts
from pipeline.restarts import run_with_restarts

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def termination_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(restarts, "PAUSE", 0.0)
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setenv("KDFLOW_TERMINATION_LOG", str(log))
    return log


def command(tmp_path: Path, body: str) -> list[str]:
    """A program that counts its starts in the file `starts`, then runs `body` with the count as `n`."""
    count = f"from pathlib import Path; p = Path({str(tmp_path / 'starts')!r}); n = len(p.read_text()) + 1 if p.exists() else 1"
    return [sys.executable, "-c", f"import os, signal, sys\n{count}\np.write_text('.' * n)\nsys.path.insert(0, {str(ROOT)!r})\n{body}"]


def starts(tmp_path: Path) -> int:
    return len((tmp_path / "starts").read_text())


@pytest.mark.parametrize("crash", ["os.kill(os.getpid(), signal.SIGKILL)", "raise RuntimeError('NCCL abort')", "os._exit(137)"])
def test_a_crash_is_followed_by_a_restart(tmp_path: Path, crash: str, capfd: pytest.CaptureFixture[str], termination_log: Path) -> None:
    run_with_restarts(command(tmp_path, f"if n < 3: {crash}"), "train_teacher", 5)
    assert starts(tmp_path) == 3 and termination_log.read_text() == ""
    assert "restart 2 of 5 resumes after its last epoch" in capfd.readouterr().err


def test_too_many_crashes_end_with_code_1(tmp_path: Path, termination_log: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        run_with_restarts(command(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)"), "train_teacher", 2)
    assert ended.value.code == 1 and starts(tmp_path) == 3
    # the prefix "error: " would signal to Kubeflow's controller that the input is wrong
    assert termination_log.read_text().startswith("train_teacher was killed by signal 9, after 2 restarts")


def test_wrong_input_is_not_tried_again(tmp_path: Path, termination_log: Path) -> None:
    body = "from kd.errors import fail; fail('data: is empty; add pictures'); sys.exit(1)"  # torchrun ends with code 1, too
    with pytest.raises(SystemExit) as ended:
        run_with_restarts(command(tmp_path, body), "train_teacher", 5)
    assert ended.value.code == 2 and starts(tmp_path) == 1
    assert termination_log.read_text() == "error: data: is empty; add pictures\n"


def test_sigterm_reaches_the_child_and_is_no_crash(tmp_path: Path) -> None:
    child = command(tmp_path, "import time; time.sleep(60)")
    program = f"from pipeline.restarts import run_with_restarts; run_with_restarts({child!r}, 'train_teacher', 5)"
    parent = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True)
    try:
        while not (tmp_path / "starts").exists():
            assert parent.poll() is None
            time.sleep(0.05)
        parent.terminate()
        assert parent.wait(30) == 143 and starts(tmp_path) == 1
        with pytest.raises(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
    finally:
        parent.kill()
