"""The whole workflow through `dvc repro`, small: what runs, what is left alone, what comes out."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PIECES = ("kd", "components", "data/dvc.yaml", "dvc.yaml", "params.yaml", ".dvc/config", ".dvc/plots", ".dvcignore", ".gitignore")
SMALL = {
    "compose_scenes": {"train": 24, "test": 8, "size": 64, "objects": [2, 4]},
    "data": {"image_size": 64, "val": 0.2},
    "teacher": {"width": 0.125, "depth": 0.125, "train": {"epochs": 2, "evaluate_every": 1}},
    "student": {"width": 0.125, "train": {"epochs": 2, "evaluate_every": 1}},
    "evaluate": {"pictures": 2},
    "register_model": {"gate": {"min_map": 0.0, "min_map50": 0.0}},
}
STEPS = ["prepare_data", "train_teacher", "train_baseline", "compute_info_maps", "distill_student", "evaluate", "register_model"]

PERSON = {"NAME": "t", "EMAIL": "t@example.org"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def merge(whole: dict, change: dict) -> dict:
    return {**whole, **{key: merge(whole[key], value) if isinstance(value, dict) else value for key, value in change.items()}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with small parameters, committed, and repro'd once."""
    folder = tmp_path_factory.mktemp("project")
    for piece in PIECES:
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
    run(folder, "repro")
    return folder


def run(folder: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "KDFLOW_", "DVC_"))}
    environment |= {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in PERSON.items()}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "true"}
    done = subprocess.run(["dvc", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


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
