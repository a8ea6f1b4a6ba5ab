"""The whole workflow through `dvc repro`, small: what runs, what is left alone, what comes out."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from PIL import Image

from kd.files import digest
from kd.model.store import load_init_metadata
from tests.packed import packed
from tests.projects import STEPS, dvc, environment

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def project(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project after `dvc repro`, for this file alone."""
    return shutil.copytree(reproduced, tmp_path_factory.mktemp("repro") / "project")


def run(folder: Path, *arguments: str) -> str:
    return dvc(folder, *arguments, seconds=500)


def ran(output: str) -> list[str]:
    return [step for step in STEPS if f"Running stage '{step}'" in output]


def test_every_step_leaves_its_output(project: Path) -> None:
    metrics = json.loads((project / "outputs/evaluate/metrics.json").read_text())
    for model in ("teacher", "baseline", "student"):
        assert 0 <= metrics[model]["map"] <= metrics[model]["map50"] <= 1
        assert metrics[model]["parameters"] > 0
    assert metrics["baseline"]["parameters"] == metrics["student"]["parameters"]
    assert (project / "outputs/evaluate/report.html").stat().st_size > 10_000
    assert json.loads((project / "outputs/register_model/decision.json").read_text())["decision"] == "promote"
    assert not list((project / ".checkpoints").iterdir())


def test_baseline_and_student_differ_in_the_teaching_alone(project: Path) -> None:
    histories = [(project / f"outputs/{step}/history.csv").read_text().splitlines()[0] for step in ("train_baseline", "distill_student")]
    assert histories[0].split(",")[:4] == histories[1].split(",")[:4] == ["epoch", "box", "objectness", "class"]
    assert "distill_backbone_16" in histories[1] and "gradient_ratio" in histories[1]


def test_one_mlflow_run_for_each_step_under_one_parent(project: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("kdflow").experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert sorted(run.info.run_name for run in children) == sorted([*STEPS, "compose_scenes"])
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == 1
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert int(client.get_model_version_by_alias("kdflow-student", "champion").version) == 1


def test_again_runs_nothing(project: Path) -> None:
    assert ran(run(project, "repro")) == []


def test_metrics_and_plots_show(project: Path) -> None:
    assert "student" in run(project, "metrics", "show")
    run(project, "plots", "show", "--out", "plots")
    page = (project / "plots/index.html").read_text()
    assert all(name in page for name in ("learning_curves.csv", "precision_recall.csv", "per_class.csv"))


def test_a_new_weight_reruns_distillation_and_what_follows(project: Path) -> None:
    assert ran(run(project, "exp", "run", "-S", "distill.weight=0.5")) == ["distill_student", "evaluate", "register_model"]


def test_an_experiment_in_a_temporary_copy_registers_in_the_store_of_the_project(project: Path) -> None:
    """DVC deletes the copy, and a store inside it would be lost."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    before = versions(client)
    assert ran(run(project, "exp", "run", "--temp", "-S", "distill.weight=0.25")) == ["distill_student", "evaluate", "register_model"]
    (new,) = versions(client) - before
    command = [sys.executable, "-m", "pipeline.kdflow", "registry", "verify", new]
    verified = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def versions(client: "MlflowClient") -> set[str]:
    return {str(version.version) for version in client.search_model_versions("name = 'kdflow-student'")}


def test_a_new_content_of_the_initial_weights_trains_again(project: Path) -> None:
    model = project / "outputs/train_baseline/model.safetensors"
    shutil.copy(model, project / "init.safetensors")
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["student"]["init"] = "init.safetensors"
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert ran(run(project, "repro", "train_baseline", "train_teacher")) == ["train_baseline"]
    assert ran(run(project, "repro", "train_baseline")) == []
    origin = f"init.safetensors (SHA-256 {digest(project / 'init.safetensors')})"
    shutil.copy(model, project / "init.safetensors")
    assert ran(run(project, "repro", "train_baseline", "train_teacher")) == ["train_baseline"]
    expected = {"init": "init.safetensors", "init_digest": digest(project / "init.safetensors"), "init_origin": origin}
    assert load_init_metadata(model) == expected


def test_pictures_without_labels_are_prepared_when_they_come_and_change(project: Path) -> None:
    """Without a dependency on a folder that may not exist; run last, because the project has such pictures afterwards."""
    Image.new("RGB", (64, 64), "green").save(folder(project) / "a.png")
    assert ran(run(project, "repro", "prepare_data")) == []
    parameters = yaml.safe_load((project / "params.yaml").read_text())
    parameters["data"]["unlabelled"] = "more"
    (project / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))
    for number, picture in enumerate(("a.png", "b.png"), 1):
        Image.new("RGB", (64, 64), (50 * number, 0, 0)).save(folder(project) / picture)
        assert ran(run(project, "repro", "prepare_data")) == ["prepare_data"]
        assert len(packed(project / "outputs/prepare_data/unlabelled")) == number
    assert ran(run(project, "repro", "prepare_data")) == []


def folder(project: Path) -> Path:
    """The folder of the pictures without labels."""
    (project / "more").mkdir(exist_ok=True)
    return project / "more"
