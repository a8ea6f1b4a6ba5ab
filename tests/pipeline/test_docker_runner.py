"""The graph in containers of the real image, as its user without rights, against `dvc repro` on this machine."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from kd.files import digest
from tests.projects import environment
from tests.servers import mlflow_server

ROOT = Path(__file__).parents[2]
# register_model's decision is left out: it depends on the champion that the first run made
OUTPUTS = [
    "prepare_data", "train_teacher", "train_baseline", "compute_info_maps", "distill_student", "evaluate", "register_model/student.onnx",
]  # fmt: skip

pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.timeout(3000)]


def test_containers_leave_the_bytes_of_dvc_repro(image: str, reproduced: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(reproduced / "outputs/compose_scenes", project / "outputs/compose_scenes")
    shutil.copy(reproduced / "params.yaml", project)
    command = [sys.executable, "-m", "pipeline", "run", "--runner", "docker", "--image", image, "--export", "exported"]
    with mlflow_server(tmp_path / "mlflow") as server:
        settings = environment() | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": server}
        done = subprocess.run(command, cwd=project, env=settings, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        client = MlflowClient(server)
        (execution,) = client.search_runs([client.get_experiment_by_name("kdflow").experiment_id], "tags.kdflow.execution LIKE '%'")
    assert execution.data.tags["kdflow.git_commit"] == image.partition(":")[2]
    contained, expected = (
        {output: digest(folder / output) for output in OUTPUTS} for folder in (project / "exported", reproduced / "outputs")
    )
    assert contained == expected
    owners = {file.stat().st_uid for file in (project / ".pipeline").rglob("model.safetensors")}
    assert owners == {10001}
