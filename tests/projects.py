"""A small project to run the whole workflow in: a copy of this one whose networks, data and trainings take minutes in all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
STEPS = ["prepare_data", "train_teacher", "train_baseline", "compute_info_maps", "distill_student", "evaluate", "register_model"]
PIECES = (
    "kd",
    "components",
    "pipeline",
    "data/dvc.yaml",
    "dvc.yaml",
    "params.yaml",
    ".dvc/config",
    ".dvc/plots",
    ".dvcignore",
    ".gitignore",
)
SMALL = {
    "compose_scenes": {"train": 24, "test": 8, "size": 64, "objects": [2, 4]},
    "data": {"image_size": 64, "val": 0.2},
    "teacher": {"width": 0.125, "depth": 0.125, "train": {"epochs": 8, "evaluate_every": 4}},  # time to kill it
    "student": {"width": 0.125, "train": {"epochs": 2, "evaluate_every": 1}},
    "evaluate": {"pictures": 2},
    # scores of two epochs are near 0.001; the gate promotes no model without detections
    "register_model": {"confidence": 0.001, "gate": {"min_map": 0.0, "min_map50": 0.0, "min_pictures": 1, "min_objects": 0}},
}
PERSON = {"NAME": "t", "EMAIL": "t@example.org"}


def small_project(folder: Path) -> Path:
    """Copy what the steps and the pipeline need to `folder`, with the parameters of SMALL; commit it."""
    for piece in PIECES:
        target = folder / piece
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / piece).is_dir():
            shutil.copytree(ROOT / piece, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / piece, target)
    params = folder / "params.yaml"
    params.write_text(yaml.safe_dump(_merge(yaml.safe_load(params.read_text()), SMALL), sort_keys=False))
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=folder, env=environment(), check=True)
    return folder


def dvc(folder: Path, *arguments: str, seconds: float) -> str:
    """Run DVC in a project and return its output."""
    done = subprocess.run(["dvc", *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment() -> dict[str, str]:
    """For commands in a project: its own code, no settings from outside, a git author, one thread: sums depend on their number."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "KDFLOW_", "DVC_", "PYTHONPATH"))}
    kept |= {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in PERSON.items()}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "true", "OMP_NUM_THREADS": "1"}


def _merge(whole: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return {**whole, **{key: _merge(whole[key], value) if isinstance(value, dict) else value for key, value in change.items()}}
