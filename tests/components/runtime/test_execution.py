"""Executions in real stores: the parent run of the steps, its status, and the version of the code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.params.models import Params
from components.runtime.execution import current_execution, git_tags
from components.runtime.tracking import step_run
from tests.components.stores import records

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("execution_one")


def test_two_steps_of_an_execution_share_a_parent(settings: Params) -> None:
    for step in ("prepare_data", "train_teacher"):
        with step_run(step, settings):
            pass
    runs = records()
    assert set(runs) == {"one", "prepare_data", "train_teacher"}
    assert runs["one"].data.tags["kdflow.execution"] == "one"
    for step in ("prepare_data", "train_teacher"):
        assert runs[step].data.tags["mlflow.parentRunId"] == runs["one"].info.run_id
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_another_execution_has_another_parent(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    with step_run("prepare_data", settings):
        pass
    monkeypatch.delenv("KDFLOW_EXECUTION")
    with step_run("evaluate", settings):
        pass
    runs = records()
    assert runs["evaluate"].data.tags["mlflow.parentRunId"] == runs["by hand"].info.run_id != runs["one"].info.run_id


def test_the_last_run_of_a_step_determines_the_status_of_the_parent(settings: Params) -> None:
    with pytest.raises(ValueError), step_run("train_teacher", settings):
        raise ValueError
    with step_run("prepare_data", settings):
        assert records()["one"].info.status == "RUNNING"
    assert records()["one"].info.status == "FAILED"
    with step_run("train_teacher", settings):
        pass
    assert records()["one"].info.status == "FINISHED"


def test_steps_of_one_dvc_command_are_one_execution(tmp_path: Path) -> None:
    dvc = tmp_path / "dvc"
    stage = f'{sys.executable} -c "from components.runtime.execution import current_execution as c; print(c())"'
    dvc.write_text(f"import subprocess\nfor _ in range(2): subprocess.run({stage!r}, shell=True, check=True)\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_STAGE": "evaluate"}
    del environment["KDFLOW_EXECUTION"]

    def run() -> list[str]:
        completed = subprocess.run([sys.executable, dvc, "repro"], env=environment, capture_output=True, text=True, check=True)
        return completed.stdout.splitlines()

    first, second = run()
    assert first == second and "dvc repro" in first
    assert first not in run()
    environment["DVC_EXP_NAME"] = "muddy-toad"
    assert "muddy-toad" in run()[0]


def test_a_command_run_by_hand_is_an_execution_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KDFLOW_EXECUTION")
    assert current_execution().id.startswith(f"{os.getpid()}-")
    assert current_execution().name == "by hand"


def test_git_tags_are_the_commit_and_whether_there_are_changes(tmp_path: Path) -> None:
    assert git_tags() == {}
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for name in ("code.py", "dvc.lock"):
        (tmp_path / name).write_text("1")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    tags = git_tags()
    assert len(tags["kdflow.git_commit"]) == 40
    (tmp_path / "dvc.lock").write_text("2")
    assert git_tags() == tags | {"kdflow.git_dirty": "false"}
    (tmp_path / "code.py").write_text("2")
    assert git_tags() == tags | {"kdflow.git_dirty": "true"}


def test_an_image_takes_the_commit_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDFLOW_GIT_COMMIT", "abc")
    assert git_tags() == {"kdflow.git_commit": "abc"}
