"""The whole graph on this machine, small, beside `dvc repro` with the same parameters."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kd.errors import InputError
from kd.files import digest
from pipeline.local import check_export
from tests.projects import STEPS, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def project(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as `dvc repro` found it: code, parameters and the composed data; nothing of the other steps."""
    folder = tmp_path_factory.mktemp("pipeline") / "project"
    shutil.copytree(reproduced, folder, ignore=shutil.ignore_patterns("mlflow.db*", "mlruns", ".checkpoints"))
    for step in (*STEPS, "fetch_weights", "resolve_unlabelled"):
        shutil.rmtree(folder / "outputs" / step)
    return folder


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline", "run", *options]
    return subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(folder: Path, *options: str, code: int = 0) -> str:
    output, _ = (process := start(folder, *options)).communicate(timeout=1700)
    assert process.returncode == code, output
    return output


def digests(outputs: Path) -> dict[str, str]:
    return {folder.name: digest(folder) for folder in outputs.iterdir() if folder.name in STEPS}


def test_a_killed_run_goes_on_and_leaves_the_bytes_of_dvc_repro(reproduced: Path, project: Path) -> None:
    process = start(project)
    kill_after_first_epoch(process, project / ".checkpoints")
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 1, output
    assert "error: train_teacher: failed or was killed; its log is .pipeline/logs/train_teacher.log" in output

    output = run(project, "--export", "exported")
    assert "prepare_data: unchanged" in output and re.search(r"resuming after epoch [1-7]\b", output), output
    assert digests(project / "exported") == digests(reproduced / "outputs") and set(digests(project / "exported")) == set(STEPS)


def test_an_unchanged_run_trains_nothing(project: Path) -> None:
    output = run(project)
    assert [step for step in STEPS if f"{step}: unchanged" in output] == STEPS[:-1], output
    assert "register_model: ran" in output


def test_a_change_reruns_what_it_touches_and_the_baseline_can_stay_out(project: Path) -> None:
    output = run(project, "--set", "distill.weight=0.5", "--no-baseline", "--export", "other")
    assert [step for step in STEPS if f"{step}: unchanged" in output] == ["prepare_data", "train_teacher", "compute_info_maps"], output
    assert set(json.loads((project / "other/evaluate/metrics.json").read_text())) == {"teacher", "student"}
    assert json.loads((project / "other/register_model/decision.json").read_text())["scores"].keys() == {"teacher", "student"}
    assert not (project / "other/train_baseline").exists()


def test_the_steps_of_a_run_share_a_parent_and_record_their_own_parameters(project: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("kdflow").experiment_id])
    parents = {run.data.tags["kdflow.execution"] for run in runs if "mlflow.parentRunId" not in run.data.tags}
    assert all(parent.startswith("pipeline run ") for parent in parents)
    teachers = [run for run in runs if run.info.run_name == "train_teacher"]
    assert {name.split(".")[1] for run in teachers for name in run.data.params} == {"augment", "seed", "teacher"}


def kill_after_first_epoch(process: subprocess.Popen[str], checkpoints: Path) -> None:
    """Send SIGKILL to the process of the training as soon as it has saved an epoch."""
    while not list(checkpoints.glob("train_teacher-*.pt")):
        assert process.poll() is None
        time.sleep(0.01)
    step = next(child for child in psutil.Process(process.pid).children(recursive=True) if "python" in child.name())
    step.send_signal(signal.SIGKILL)


def test_wrong_input_ends_the_run_in_one_line(project: Path) -> None:
    shutil.rmtree(project / "outputs/compose_scenes/train/images")
    output = run(project, code=2)
    assert output.splitlines()[-1].startswith("error: prepare_data: ") and "Traceback" not in output
    missing = run(project, "--set", "data.path=nowhere", code=2)
    assert missing.splitlines()[-1].startswith("error: resolve_data: nowhere: is missing")
    unknown = run(project, "--set", "data.pth=nowhere", code=2)
    assert unknown.startswith("error: --set: 'data.pth=nowhere' is not an assignment to a parameter") and unknown.count("\n") == 1


def test_an_export_replaces_outputs_only(tmp_path: Path) -> None:
    check_export(tmp_path, {"data.path": tmp_path / "compose_scenes"})
    (tmp_path / "evaluate").mkdir()
    (tmp_path / "evaluate/thesis.pdf").touch()
    with pytest.raises(InputError, match=r"evaluate: contains thesis\.pdf, which evaluate did not write"):
        check_export(tmp_path, {})
