"""Projects with new MLflow stores, copied from a template, because creating the tables takes longer than most tests."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from components.runtime.store import import_mlflow, tracking_uri

ROOT = Path(__file__).parents[2]
_FOLDER = tempfile.TemporaryDirectory()


def enter_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `folder` the working folder, with the committed parameters, and with its own store as the default."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")


def new_store(folder: Path) -> None:
    """Create an empty store where `components.runtime.tracking` searches for it in the working folder `folder`."""
    shutil.copyfile(_empty(), folder / "mlflow.db")


@cache
def _empty() -> Path:
    file = Path(_FOLDER.name) / "mlflow.db"
    import_mlflow()  # so that MLflow's messages are not in the output of the first test
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


def records() -> dict[str, Run]:
    """The runs in the store of the working folder, by name."""
    client = MlflowClient(tracking_uri())
    experiment = client.get_experiment_by_name("kdflow")
    assert experiment
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
