"""Each step as a task of Kubeflow, ended with SIGTERM and SIGKILL 0.7 s later, as Argo ends a pod; then the next attempt."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from kd.files import digest
from tests.projects import STEPS, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

GRACE = 0.7
TRAININGS = ("train_teacher", "train_baseline", "distill_student")
INPUTS = {
    "train_teacher": {"data": "prepare_data"},
    "train_baseline": {"data": "prepare_data"},
    "compute_info_maps": {"data": "prepare_data", "teacher": "train_teacher"},
    "distill_student": {"data": "prepare_data", "teacher": "train_teacher", "maps": "compute_info_maps"},
    "evaluate": {
        "data": "prepare_data",
        "maps": "compute_info_maps",
        "teacher": "train_teacher",
        "baseline": "train_baseline",
        "student": "distill_student",
    },
    "register_model": {"data": "prepare_data", "teacher": "train_teacher", "student": "distill_student", "evaluation": "evaluate"},
}
TASK = """
import sys
from types import SimpleNamespace
from components.params.load import load_params
from components.runtime.command import SECTIONS
from pipeline import launch, restarts

restarts.PAUSE = 0.0
def artifact(path):
    return SimpleNamespace(path=path, metadata={})

step, output, *inputs = sys.argv[1:]
params = load_params().model_dump(mode="json")
if step == "prepare_data":
    checked = {name: params[name] for name in ("data", "register_model", "teacher", "student")}
    version, *_ = launch.resolve_versions(checked, "", "")
    launch.launch_prepare_data(params["data"], version, artifact(output))
else:
    sections = {name: params[name] for name in SECTIONS[step]}
    folders = dict(word.split("=") for word in inputs)
    launch.launch_step(step, sections, {name: artifact(path) for name, path in folders.items()}, artifact(output))
"""


@pytest.fixture(scope="module")
def project(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after `dvc repro`, whose runs and outputs are those of undisturbed steps; runs here are in a new store."""
    ignored = shutil.ignore_patterns("mlflow.db*", "mlruns", ".checkpoints")
    return shutil.copytree(reproduced, tmp_path_factory.mktemp("killed") / "project", ignore=ignored)


def start(project: Path, step: str, output: Path) -> subprocess.Popen[bytes]:
    """Start a task in a process group of its own, as the main process of a container has."""
    inputs = [f"{name}=outputs/{folder}" for name, folder in INPUTS.get(step, {}).items()]
    variables = environment() | {
        "KDFLOW_EXECUTION": f"run of {step}",
        "PYTHONPATH": str(project),
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    }
    if step in TRAININGS:
        variables["KDFLOW_RESTARTS"] = "2"
    command = [sys.executable, "-c", TASK, step, str(output), *inputs]
    with (project / f"{step}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=project, env=variables, stdout=log, stderr=log, start_new_session=True)


def kill(task: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to all processes of the stopped task, and SIGKILL after the time that Kubeflow's launcher leaves them."""
    os.killpg(task.pid, signal.SIGTERM)
    os.killpg(task.pid, signal.SIGCONT)
    time.sleep(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(task.pid, signal.SIGKILL)
    assert task.wait() in (128 + signal.SIGTERM, -signal.SIGKILL)


def runs(project: Path, step: str) -> list[Run]:
    """All runs in MLflow of the step's execution: its parent, and one for each attempt."""
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("kdflow")
    assert experiment
    found = client.search_runs([experiment.experiment_id])
    parents = [run for run in found if run.data.tags.get("kdflow.execution") == f"run of {step}"]
    ids = {run.info.run_id for run in parents}
    return [*parents, *(run for run in found if run.data.tags.get("mlflow.parentRunId") in ids)]


def is_at_work(project: Path, step: str, output: Path) -> bool:
    """Whether the step is in the middle: its output is incomplete, and a training has saved an epoch."""
    saved = step not in TRAININGS or list((project / ".checkpoints").glob(f"{step}-*.pt"))
    return bool(saved and list(output.parent.glob(f".{output.name}.*.tmp")))


def stop_at_work(task: subprocess.Popen[bytes], project: Path, step: str, output: Path) -> None:
    """Stop all processes of the task with SIGSTOP when the step is in the middle."""
    while not is_at_work(project, step, output):
        assert task.poll() is None, (project / f"{step}.log").read_text()
        time.sleep(0.01)
    os.killpg(task.pid, signal.SIGSTOP)
    assert is_at_work(project, step, output), "too late"


@pytest.mark.parametrize("step", STEPS)
def test_the_next_attempt_ends_with_the_bytes_of_an_undisturbed_run(project: Path, step: str) -> None:
    output, log = project / "artifacts" / step, project / f"{step}.log"
    task = start(project, step, output)
    stop_at_work(task, project, step, output)
    kill(task)
    assert not output.exists()

    assert start(project, step, output).wait(200) == 0, log.read_text()
    expected = project / "outputs" / step
    assert digest(output) == digest(expected)
    if step in TRAININGS:
        assert "resuming after epoch" in log.read_text()
    statuses = sorted(run.info.status for run in runs(project, step))
    assert statuses in (["FINISHED"] * 2 + ["KILLED"], ["FAILED"] + ["FINISHED"] * 2), "the first attempt, the second, and their parent"
