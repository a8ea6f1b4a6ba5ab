"""A cluster with Kubeflow Pipelines, the commands that a user gives, and data that both the cluster and `dvc repro` can read.

The environment names what the tests use, see docs/cluster.md; without KF_PIPELINES_ENDPOINT all tests are skipped.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from kubernetes.utils import parse_quantity
from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.client import connect
from pipeline.cluster import Cluster as ClusterSettings
from pipeline.cluster import load_cluster
from pipeline.logs import pods_of_step
from tests.projects import ROOT, dvc, environment, small_project

DATA = "outputs/compose_scenes"
MODEL = "kdflow-cluster-test"
REQUIRED_VARIABLES = ("MLFLOW_TRACKING_URI", "KDFLOW_TEST_GIT", "KDFLOW_TEST_REMOTE")
PAUSE, TIMEOUT = 2.0, 2400.0
RUNNING_PYTHON = "import psutil; [p.kill() for p in psutil.process_iter() if 'components.{step}' in p.cmdline()]"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tests of a cluster run only if somebody asks for them."""
    if "cluster" not in config.option.markexpr:
        items[:] = [item for item in items if not item.get_closest_marker("cluster")]


@dataclass(frozen=True)
class Cluster:
    """The cluster of KF_PIPELINES_ENDPOINT, and a project whose data it can read.

    Args:
        project: a small project after `dvc repro`.
        rev: a tag of the project's data in the test's git repository.
    """

    project: Path
    rev: str

    @property
    def settings(self) -> ClusterSettings:
        """What `pipeline/cluster.yaml` says."""
        return load_cluster()

    @property
    def adds_like_dvc_repro(self) -> bool:
        """Whether each step computes on one thread and without a GPU, as `dvc repro` does here. Otherwise sums have another order."""
        return not any(step.gpu or parse_quantity(step.cpu) >= 2 for step in self.settings.steps.values())

    def kdflow(self, *words: str, code: int = 0) -> str:
        """The output of a command, which ends with this exit code."""
        command = [sys.executable, "-m", "pipeline", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
        assert done.returncode == code, f"{shlex.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def release(self, command: str, *words: str, rev: str = "") -> list[str]:
        """The words of `submit` or `schedule` for the project's parameters and data."""
        data = ["--data-repo", os.environ["KDFLOW_TEST_GIT"], "--data-rev", rev or self.rev]
        params = ["--params", str(self.project / "params.yaml"), "--set", f"register_model.name={MODEL}"]
        return [command, "--allow-dirty", "--experiment", "kdflow-cluster-test", *params, *data, *words]

    def submit(self, *words: str, rev: str = "", code: int = 0) -> "Submitted":
        """Submit a run."""
        output = self.kdflow(*self.release("submit", *words, rev=rev), code=code)
        return Submitted(re.findall(r"^run ([0-9a-f-]{36})$", output, re.MULTILINE)[0], output)

    def wait(self, run_id: str, state: str) -> str:
        """Wait for the end of a run, which is this one. Returns what `status` prints."""
        until(lambda: re.search(r": (succeeded|failed|stopped|skipped)$", self.kdflow("status", run_id), re.MULTILINE))
        status = self.kdflow("status", run_id)
        assert re.search(rf": {state}$", status, re.MULTILINE), status
        return status

    def pods(self, run_id: str, step: str) -> list[str]:
        """The pods of a step, one for each attempt."""
        return [pod.name for pod in pods_of_step(connect(None, self.settings.namespace), run_id, step)]

    def kubectl(self, *words: str) -> str:
        """The output of kubectl; the test is skipped without it."""
        command = [*shlex.split(os.environ.get("KDFLOW_TEST_KUBECTL", "kubectl")), "--namespace", self.settings.namespace, *words]
        if not shutil.which(command[0]):
            pytest.skip(f"needs {command[0]} for this cluster; KDFLOW_TEST_KUBECTL names it")
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def kill(self, pod: str, step: str) -> None:
        """Kill the process of a training in its pod with SIGKILL, as the kernel does when memory runs out."""
        self.kubectl("exec", pod, "--container", "main", "--", "python", "-c", RUNNING_PYTHON.format(step=step))

    def log(self, run_id: str, step: str, *words: str) -> str:
        """What `logs` prints."""
        return self.kdflow("logs", run_id, step, *words)

    def until_epoch(self, run_id: str, step: str, epoch: int, attempt: int = 1) -> None:
        """Wait until a training has started so often, and has recorded the loss of this epoch in MLflow."""

        def reached() -> bool:
            runs = [child for child in self.mlflow(run_id)[1] if child.info.run_name == step]
            history = MlflowClient().get_metric_history(runs[0].info.run_id, "box") if len(runs) >= attempt else []
            return any(metric.step >= epoch for metric in history)

        until(reached)

    def digests(self, run_id: str) -> dict[str, str]:
        """The digests of the artifacts that register_model got, by their names in the pipeline."""
        return dict(re.findall(r'"(\w+)_digest":\s*"([0-9a-f]{64})"', self.log(run_id, "register_model")))

    def mlflow(self, run_id: str) -> tuple[list[Run], list[Run]]:
        """The parent runs in MLflow of a run in Kubeflow, and their children."""
        client = MlflowClient()
        experiment = client.get_experiment_by_name("kdflow")
        assert experiment
        parents = client.search_runs([experiment.experiment_id], f"tags.`kdflow.execution` = '{run_id}'")
        children = [
            child
            for parent in parents
            for child in client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
        ]
        return list(parents), children


@dataclass(frozen=True)
class Submitted:
    """A run, and what `submit` printed."""

    id: str
    output: str


def until(condition: Callable[[], object], seconds: float = TIMEOUT) -> None:
    """Wait until `condition()` is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(PAUSE)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster. The seeds of pictures and trainings are new, so that no step is in Kubeflow's cache."""
    if not os.environ.get("KF_PIPELINES_ENDPOINT"):
        pytest.skip("KF_PIPELINES_ENDPOINT names no cluster")
    if missing := [name for name in REQUIRED_VARIABLES if not os.environ.get(name)]:
        pytest.skip(f"{', '.join(missing)} is not set; docs/cluster.md explains the variables")
    project = small_project(tmp_path_factory.mktemp("cluster") / "project")
    params = project / "params.yaml"
    seed = int(time.time()) % 2**31
    content = yaml.safe_load(params.read_text()) | {"seed": seed}
    content["compose_scenes"]["seed"] = seed
    params.write_text(yaml.safe_dump(content, sort_keys=False))
    dvc(project, "repro", "-q", seconds=TIMEOUT)
    _push_data(project / DATA, tmp_path_factory.mktemp("data"), rev := f"test-{seed}")
    yield Cluster(project, rev)


def _push_data(source: Path, folder: Path, rev: str) -> None:
    """Push the project's data, at the same path, as a commit with the tag `rev`."""
    shutil.copytree(source, folder / DATA)
    commands = (
        "git init -q", "dvc init -q", f"dvc remote add -q --default storage {os.environ['KDFLOW_TEST_REMOTE']}", f"dvc add -q {DATA}",
        "dvc push -q", "git add -A", "git commit -qm data", f"git tag {rev}", f"git push -q {os.environ['KDFLOW_TEST_GIT']} {rev}",
    )  # fmt: skip
    for command in commands:
        subprocess.run(shlex.split(command), cwd=folder, env=environment(), check=True)
