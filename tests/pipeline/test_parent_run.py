"""One parent run in MLflow, whichever steps of a pipeline start at the same time."""

import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.params.load import load_params
from components.runtime.store import tracking_uri
from components.runtime.tracking import step_run
from pipeline.launch import resolve_versions
from tests.components.stores import new_store

ROOT = Path(__file__).parents[2]
TRIALS = 50


def run_steps(step: str, folder: Path, barrier: Barrier) -> None:
    """Run one step of each trial; both processes enter each trial at the same moment."""
    os.chdir(folder)
    params = load_params(ROOT / "params.yaml")
    for trial in range(TRIALS):
        os.environ["KDFLOW_EXECUTION"] = f"trial {trial}"
        barrier.wait(60)
        with step_run(step, params):
            pass


@pytest.mark.slow
def test_two_steps_that_start_together_share_the_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    monkeypatch.chdir(tmp_path)
    new_store(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "mine").mkdir()
    sections = load_params(overrides=["data.path=mine"]).model_dump(mode="json")
    for trial in range(TRIALS):
        monkeypatch.setenv("KDFLOW_EXECUTION", f"trial {trial}")
        resolve_versions(sections, "", "")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    steps = [context.Process(target=run_steps, args=(step, tmp_path, barrier)) for step in ("train_teacher", "train_baseline")]
    for process in steps:
        process.start()
    for process in steps:
        process.join()
        assert process.exitcode == 0
    client = MlflowClient(tracking_uri())
    runs = client.search_runs([client.get_experiment_by_name("kdflow").experiment_id], max_results=1000)
    parents = [run for run in runs if "kdflow.execution" in run.data.tags]
    assert sorted(run.info.run_name for run in parents) == sorted(f"trial {trial}" for trial in range(TRIALS))
    for parent in parents:
        children = {run.info.run_name for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
        assert children == {"train_teacher", "train_baseline"}
