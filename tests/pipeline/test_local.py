"""The whole graph on this machine, small, beside `dvc repro` with the same parameters."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from kd.files import digest
from tests.test_repro import PIECES, ROOT, SMALL, STEPS, merge

TRAINED = ("train_teacher", "train_baseline", "distill_student")
QUICK = ("--set", "teacher.train.epochs=1", "--set", "student.train.epochs=1")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def repro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with small parameters, after `dvc repro`."""
    folder = tmp_path_factory.mktemp("repro")
    for piece in (*PIECES, "pipeline"):
        target = folder / piece
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / piece).is_dir():
            shutil.copytree(ROOT / piece, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / piece, target)
    params = folder / "params.yaml"
    params.write_text(yaml.safe_dump(merge(yaml.safe_load(params.read_text()), SMALL), sort_keys=False))
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    done = subprocess.run(["dvc", "repro", "-q"], cwd=folder, env=environment(), capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def project(repro: Path, tmp_path: Path) -> Path:
    """The project as `dvc repro` found it: code, parameters and the composed data; nothing of the other steps."""
    folder = tmp_path / "project"
    leave = shutil.ignore_patterns("mlflow.db*", "mlruns", ".checkpoints", ".pipeline", *STEPS, "evaluate")
    shutil.copytree(repro, folder, ignore=lambda path, names: leave(path, names) & set(names) if Path(path).name != "components" else set())
    return folder


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "KDFLOW_", "DVC_", "PYTHONPATH"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "true"}


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline", "run", *options]
    return subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(folder: Path, *options: str, code: int = 0) -> str:
    output, _ = (process := start(folder, *options)).communicate(timeout=800)
    assert process.returncode == code, output
    return output


def digests(outputs: Path) -> dict[str, str]:
    return {folder.name: digest(folder) for folder in outputs.iterdir() if folder.name in STEPS}


def test_both_doors_leave_the_same_bytes_and_a_second_run_finds_them(repro: Path, project: Path) -> None:
    run(project, "--export", "exported")
    assert digests(project / "exported") == digests(repro / "outputs") and set(digests(project / "exported")) == set(STEPS)

    again = run(project)
    assert [step for step in STEPS if f"{step}: unchanged" in again] == STEPS[:-1], again
    assert "register_model: ran" in again

    other = run(project, "--set", "distill.weight=0.5", "--no-baseline", "--export", "other")
    assert [step for step in STEPS if f"{step}: unchanged" in other] == ["prepare_data", "train_teacher", "compute_info_maps"], other
    metrics = json.loads((project / "other/evaluate/metrics.json").read_text())
    assert set(metrics) == {"teacher", "student"} and not (project / "other/train_baseline").exists()
    assert json.loads((project / "other/register_model/decision.json").read_text())["scores"].keys() == {"teacher", "student"}


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(repro: Path, project: Path) -> None:
    process = start(project)
    kill_after_first_epoch(process, project / ".checkpoints")
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 1 and "error: train_teacher: failed or was killed; its log is .pipeline/logs/train_teacher.log" in output

    output = run(project, "--export", "exported")
    assert "prepare_data: unchanged" in output and "going on after epoch 1" in output
    assert digests(project / "exported") == digests(repro / "outputs")


def kill_after_first_epoch(process: subprocess.Popen[str], checkpoints: Path) -> None:
    """Send SIGKILL to the process of the training as soon as it has saved an epoch."""
    while not list(checkpoints.glob("train_teacher-*.pt")):
        assert process.poll() is None
        time.sleep(0.01)
    step = next(child for child in psutil.Process(process.pid).children(recursive=True) if "python" in child.name())
    step.send_signal(signal.SIGKILL)


def test_wrong_input_ends_the_run_in_one_line(project: Path) -> None:
    shutil.rmtree(project / "outputs/compose_scenes/train/images")
    output = run(project, *QUICK, code=2)
    assert output.splitlines()[-1].startswith("error: prepare_data: ") and "Traceback" not in output
    missing = run(project, "--set", "data.path=nowhere", code=2)
    assert missing.splitlines()[-1].startswith("error: resolve_data: nowhere: is missing")
    unknown = run(project, "--set", "data.pth=nowhere", code=2)
    assert (
        unknown
        == "error: --set: 'data.pth=nowhere' names no parameter; write section.name=value; "
        + unknown.partition("; write section.name=value; ")[2]
    )
