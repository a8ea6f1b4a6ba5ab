"""The whole way with real servers on loopback: data in S3 by DVC, the graph at a git revision, runs and models in MLflow."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.pipeline.servers import S3, free_ports, mlflow_server, s3_server

ROOT = Path(__file__).parents[2]
DATA = "data/digits"
SMALL = [
    f"data.path={DATA}", "data.image_size=64", "data.val=0.2", "evaluate.pictures=2",
    "teacher.width=0.125", "teacher.depth=0.125", "teacher.train.epochs=1", "student.width=0.125", "student.train.epochs=1",
]  # fmt: skip
TRAININGS = ("train_teacher", "train_baseline", "distill_student")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Site:
    """Where the pipeline runs: servers, the data's repository, a working folder."""

    s3: S3
    mlflow: str
    data: Path
    work: Path

    def environment(self, **changes: str) -> dict[str, str]:
        ours = ("MLFLOW_", "KDFLOW_", "DVC_", "AWS_", "GIT_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environment |= {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "true"}
        return environment | self.s3.environment() | {"MLFLOW_TRACKING_URI": self.mlflow, "MLFLOW_DISABLE_TELEMETRY": "true"} | changes

    def do(self, *command: str) -> str:
        """Run a command in the data's repository."""
        done = subprocess.run(command, cwd=self.data, env=self.environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def pipeline(self, rev: str, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run the graph on the data at `rev`, with `changes` to the environment."""
        command = [sys.executable, "-m", "pipeline", "run", "--data-repo", str(self.data), "--data-rev", rev]
        settings = [word for setting in SMALL for word in ("--set", setting)]
        return subprocess.run(
            [*command, *settings, *arguments], cwd=self.work, env=self.environment(**changes), capture_output=True, text=True
        )

    def steps(self, parent: Run) -> dict[str, Run]:
        """The runs of the steps of an execution."""
        client = MlflowClient(self.mlflow)
        found = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
        return {run.info.run_name: run for run in found}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Servers, and a repository with two revisions of data, v1 and v2, both pushed."""
    folder = tmp_path_factory.mktemp("site")
    with s3_server(folder / "s3") as s3:
        for bucket in ("data", "mlflow"):
            s3.make_bucket(bucket)
        with mlflow_server(folder / "mlflow", "s3://mlflow/artifacts", s3.environment()) as mlflow:
            site = Site(s3, mlflow, folder / "data", folder / "work")
            for place in (site.data, site.work):
                place.mkdir()
            shutil.copy(ROOT / "params.yaml", site.work)
            _two_revisions(site)
            yield site


def _two_revisions(site: Site) -> None:
    for command in ("git init -q", "dvc init -q", "dvc remote add -q --default storage s3://data/dvc", "git add -A"):
        site.do(*command.split())
    for tag, scenes in (("v1", 24), ("v2", 28)):
        _compose(site, scenes)
        site.do("dvc", "add", "-q", DATA)
        site.do("git", "add", "-A")
        site.do("git", "commit", "-qm", tag)
        site.do("git", "tag", tag)
        site.do("dvc", "push", "-v")
    # what the pipeline gets, it must get from the remote
    shutil.rmtree(site.data / DATA)
    shutil.rmtree(site.data / ".dvc/cache")


def _compose(site: Site, scenes: int) -> None:
    sizes = {"train": scenes, "test": 8, "size": 64, "objects": [2, 4]}
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["compose_scenes"] |= sizes
    (site.data / "params.yaml").write_text(yaml.safe_dump(settings))
    shutil.rmtree(site.data / DATA, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "components.compose_scenes", "--output", DATA],
        cwd=site.data, env=site.environment(MLFLOW_TRACKING_URI=""), check=True, capture_output=True,
    )  # fmt: skip
    (site.data / "params.yaml").unlink()


def md5(site: Site, rev: str) -> str:
    return str(yaml.safe_load(site.do("git", "show", f"{rev}:{DATA}.dvc"))["outs"][0]["md5"])


@pytest.fixture(scope="module")
def first(site: Site) -> Run:
    """The execution on v1."""
    return executed(site, "v1")


@pytest.fixture(scope="module")
def second(site: Site, first: Run) -> Run:
    """The execution on v2, after v1's."""
    return executed(site, "v2")


def executed(site: Site, rev: str) -> Run:
    done = site.pipeline(rev)
    assert done.returncode == 0, done.stdout + done.stderr
    client = MlflowClient(site.mlflow)
    experiment = client.get_experiment_by_name("kdflow").experiment_id
    parents = client.search_runs([experiment], "tags.kdflow.execution LIKE '%'", order_by=["attributes.start_time DESC"], max_results=1)
    return parents[0]


def test_scratch(site: Site, first: Run) -> None:
    print(first.data, {name: run.data.tags for name, run in site.steps(first).items()})
    done = site.pipeline("nope")
    print(done.returncode, done.stdout, done.stderr)
