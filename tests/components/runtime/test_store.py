"""Where MLflow's store is, and the experiment that is created in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from components.params.models import Params
from components.runtime.store import sqlite_file, tracking_uri
from components.runtime.tracking import step_run
from tests.components.stores import records

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("execution_one")


@pytest.mark.parametrize("existing_tags", [None, {}, {"team": "vision"}], ids=["new experiment", "without tags", "with other tags"])
def test_the_experiment_is_of_the_kind_custom_model_development(settings: Params, existing_tags: dict[str, str] | None) -> None:
    """So that MLflow's page of the experiment opens on the runs instead of GenAI traces."""
    client = MlflowClient(tracking_uri())
    if existing_tags is not None:
        client.create_experiment("kdflow", tags=existing_tags)
    with step_run("evaluate", settings):
        pass
    tags = client.get_experiment_by_name("kdflow").tags
    assert (existing_tags or {}).items() | {("mlflow.experimentKind", "custom_model_development")} <= tags.items()


def test_an_experiment_of_another_kind_keeps_it(settings: Params) -> None:
    client = MlflowClient(tracking_uri())
    client.create_experiment("kdflow", tags={"mlflow.experimentKind": "genai_development"})
    with step_run("evaluate", settings):
        pass
    assert client.get_experiment_by_name("kdflow").tags["mlflow.experimentKind"] == "genai_development"


def test_a_run_is_recorded_if_the_experiment_cannot_be_tagged(settings: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise MlflowException("permission denied")

    MlflowClient(tracking_uri()).create_experiment("kdflow")
    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    with step_run("evaluate", settings):
        pass
    assert records()["evaluate"].info.status == "FINISHED"


def test_a_new_store_is_created_without_output(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from components.params.load import load_params; from components.runtime.tracking import step_run\n"
        f"with step_run('evaluate', load_params(Path({str(ROOT / 'params.yaml')!r}))) as run: run.log_metrics({{'map': 0.5}})"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    (tmp_path / "mlflow.db").unlink()
    completed = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert (completed.stdout, completed.stderr) == ("", "")
    assert records()["evaluate"].info.status == "FINISHED"


def test_a_path_with_special_characters_holds_store_and_artifacts(
    settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "a%20b c#d?e"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("KDFLOW_EXECUTION", "it's")
    Path("report.txt").write_text("report")
    with step_run("evaluate", settings) as run:
        run.log_dataset("/it's//here & there/", "x", "0" * 64, "test")
        run.log_artifact(Path("report.txt"))
    assert sqlite_file() == project / "mlflow.db" and (project / "mlflow.db").is_file()
    assert len(list(project.glob("mlruns/**/report.txt"))) == 1
    assert not (tmp_path / "a%20b c#d").exists(), "a part of the path is no store"
    record = MlflowClient(tracking_uri()).get_run(str(run.id))
    assert record.data.tags["kdflow.digest.it_s/here _ there"] == "0" * 64


@pytest.mark.parametrize("place", ["standalone/tmpabc", "tmpabc"])  # of --temp, and of --queue
@pytest.mark.parametrize("uri", ["", "sqlite:///mlflow.db"])
def test_an_experiment_in_a_copy_uses_the_store_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, place: str
) -> None:
    copy = tmp_path / ".dvc/tmp/exps" / place / "sub"
    copy.mkdir(parents=True)
    (copy.parent / ".dvc").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(copy)
    assert sqlite_file() == tmp_path / "sub/mlflow.db"
    monkeypatch.chdir(tmp_path)
    assert sqlite_file() == tmp_path / "mlflow.db"
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.chdir(copy)
    assert sqlite_file() == copy / "mlflow.db"
