"""SIGTERM, and SIGKILL shortly after: what the process records, and what the next attempt of the step makes of the rest."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.params.models import Params
from components.runtime import store
from components.runtime.dead_runs import HOST_TAG
from components.runtime.termination import on_sigterm
from components.runtime.tracking import step_run
from tests.components.stores import records

ROOT = Path(__file__).parents[3]
GRACE = 0.7  # seconds between both signals on Kubeflow
STEP = """
import sys, time
from pathlib import Path
from components.params.load import load_params
from components.runtime.tracking import step_run
with step_run("train_teacher", load_params(Path(sys.argv[1]))) as run:
    run.log_metrics({"map": 0.5})
    run._recorder.flush(60)
    if len(sys.argv) > 2:
        run._stored.kill = lambda: time.sleep(60)  # a store that has stopped answering
    Path("started").touch()
    WORK
"""
IN_PYTHON = "time.sleep(60)"
IN_NATIVE_CODE = "import numpy as np; a = np.ones((9000, 9000)); np.linalg.svd(a)"


def kill_step(folder: Path, work: str, *arguments: str) -> int:
    """Run a step, and send SIGTERM and then SIGKILL while it does `work`. Returns its exit code."""
    command = [sys.executable, "-c", STEP.replace("WORK", work), str(ROOT / "params.yaml"), *arguments]
    step = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})
    while not (folder / "started").exists():
        assert step.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    step.send_signal(signal.SIGTERM)
    try:
        return step.wait(GRACE)
    except subprocess.TimeoutExpired:
        step.kill()
        return step.wait()


@pytest.mark.usefixtures("execution_one")
@pytest.mark.parametrize("work", [IN_PYTHON, IN_NATIVE_CODE], ids=["in Python", "in native code"])
def test_a_step_says_that_it_was_killed(tmp_path: Path, work: str) -> None:
    assert kill_step(tmp_path, work) == 143
    assert records()["train_teacher"].info.status == "KILLED"
    assert records()["one"].info.status == "RUNNING", "the next attempt goes on"


@pytest.mark.usefixtures("execution_one")
def test_the_next_attempt_closes_a_run_that_could_not_be_closed(tmp_path: Path, settings: Params) -> None:
    assert kill_step(tmp_path, IN_PYTHON, "silent") == -signal.SIGKILL
    killed = records()["train_teacher"].info
    assert killed.status == "RUNNING"
    client = store.connect_to_mlflow()
    client.set_tag(killed.run_id, HOST_TAG, "another")  # where nobody can look its process up
    with step_run("evaluate", settings):
        pass
    assert client.get_run(killed.run_id).info.status == "RUNNING", "another step may still be running"
    with step_run("train_teacher", settings):
        pass
    assert client.get_run(killed.run_id).info.status == "KILLED"
    assert records()["one"].info.status == "FINISHED"


def test_other_signals_and_handlers_are_left_alone() -> None:
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores SIGINT for its background jobs
    before = signal.getsignal(signal.SIGTERM)
    with on_sigterm(lambda: None), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, handler)
    assert signal.getsignal(signal.SIGTERM) == before and signal.set_wakeup_fd(-1) == -1


def test_a_forked_child_ends_without_the_task(tmp_path: Path) -> None:
    with on_sigterm((tmp_path / "called").touch):
        child = os.fork()
        if not child:
            time.sleep(60)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        time.sleep(0.1)
    assert not (tmp_path / "called").exists()
