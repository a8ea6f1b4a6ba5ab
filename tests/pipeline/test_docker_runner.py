"""The graph in containers of the real image, as its user without rights, against the same graph in processes of this machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from kd.files import digest
from tests.servers import mlflow_server

ROOT = Path(__file__).parents[2]
SMALL = [
    "compose_scenes.train=24", "compose_scenes.test=8", "compose_scenes.size=64", "compose_scenes.objects=[2, 4]",
    "data.image_size=64", "data.val=0.2", "evaluate.pictures=2",
    "teacher.width=0.125", "teacher.depth=0.125", "teacher.train.epochs=2", "student.width=0.125", "student.train.epochs=2",
]  # fmt: skip
SETTINGS = [word for setting in SMALL for word in ("--set", setting)]
# register_model's decision is left out: it depends on the champion that the first run made
OUTPUTS = [
    "prepare_data", "train_teacher", "train_baseline", "compute_info_maps", "distill_student", "evaluate", "register_model/student.onnx",
]  # fmt: skip

pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.timeout(3000)]


def run(folder: Path, server: str, *command: str) -> None:
    """Run a module of ours in `folder`, with one thread: sums depend on how many there are."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "KDFLOW_", "DVC_", "AWS_"))}
    environment |= {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": server, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", *command, *SETTINGS], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def project(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


def test_containers_and_processes_end_with_the_same_bytes(image: str, tmp_path: Path) -> None:
    here, there = project(tmp_path / "processes"), project(tmp_path / "containers")
    with mlflow_server(tmp_path / "mlflow") as server:
        run(here, server, "components.compose_scenes")
        shutil.copytree(here / "outputs", there / "outputs")
        run(here, server, "pipeline", "run", "--export", "exported")
        run(there, server, "pipeline", "run", "--runner", "docker", "--image", image, "--export", "exported")
        client = MlflowClient(server)
        parents = client.search_runs([client.get_experiment_by_name("kdflow").experiment_id], "tags.kdflow.execution LIKE '%'")
    contained, *others = [parent.data.tags for parent in parents]  # the newest first
    assert len(others) == 2, "all steps in containers are one execution; the others are the run in processes, and compose_scenes"
    assert contained["kdflow.git_commit"] == image.partition(":")[2]
    assert all((folder / "exported" / output).exists() for folder in (here, there) for output in OUTPUTS)
    digests = [{output: digest(folder / "exported" / output) for output in OUTPUTS} for folder in (here, there)]
    assert digests[0] == digests[1]
    owners = {file.stat().st_uid for file in (there / ".pipeline").rglob("model.safetensors")}
    assert owners == {10001}
