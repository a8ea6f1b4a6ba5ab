"""The whole way with real servers on loopback: data in S3 by DVC, the graph at a git revision, runs and models in MLflow."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.pipeline.s3_server import S3, s3_server
from tests.servers import mlflow_server

ROOT = Path(__file__).parents[2]
DATA = "data/digits"
SMALL = [
    f"data.path={DATA}", "data.image_size=64", "data.val=0.2", "evaluate.pictures=2",
    "teacher.width=0.125", "teacher.depth=0.125", "teacher.train.epochs=1", "student.width=0.125", "student.train.epochs=1",
]  # fmt: skip
COMMIT = "0123456789abcdef0123456789abcdef01234567"  # as the image knows it
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
        return (
            environment
            | self.s3.environment()
            | {
                "MLFLOW_TRACKING_URI": self.mlflow,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "KDFLOW_GIT_COMMIT": COMMIT,
                **changes,
            }
        )

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

    def parents(self) -> list[Run]:
        """The executions, newest first."""
        client = MlflowClient(self.mlflow)
        experiment = client.get_experiment_by_name("kdflow")
        if not experiment:
            return []
        return list(
            client.search_runs([experiment.experiment_id], "tags.kdflow.execution LIKE '%'", order_by=["attributes.start_time DESC"])
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
        site.do("dvc", "push", "-q")
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


@dataclass(frozen=True)
class Execution:
    """What a run of the graph printed, and its steps' runs in MLflow by name."""

    output: str
    parent: Run
    steps: dict[str, Run]


def executed(site: Site, rev: str) -> Execution:
    """Run the graph; it succeeds."""
    done = site.pipeline(rev, KDFLOW_EXECUTION=f"test {rev} {len(site.parents())}")
    assert done.returncode == 0, done.stdout + done.stderr
    parent = site.parents()[0]
    return Execution(done.stdout + done.stderr, parent, site.steps(parent))


@pytest.fixture(scope="module")
def first(site: Site) -> Execution:
    """The execution on v1."""
    return executed(site, "v1")


@pytest.fixture(scope="module")
def second(site: Site, first: Execution) -> Execution:
    """The execution on v2, after the one on v1."""
    return executed(site, "v2")


def dataset(run: Run) -> tuple[str, dict[str, str]]:
    """The one data set that a run records: its digest, shortened by MLflow, and its tags."""
    (found,) = run.inputs.dataset_inputs
    return found.dataset.digest, {tag.key: tag.value for tag in found.tags}


def test_mlflow_knows_the_data_by_revision_and_content(site: Site, first: Execution) -> None:
    digest, tags = dataset(first.steps["prepare_data"])
    assert tags["kdflow.version"] == md5(site, "v1") and tags["kdflow.commit"] == site.do("git", "rev-parse", "v1")
    for step in TRAININGS:
        trained_on = first.steps[step].data.tags["kdflow.digest.prepared"]
        assert trained_on.startswith(digest) and dataset(first.steps[step])[0] == digest


def test_mlflow_knows_the_code(first: Execution) -> None:
    assert first.parent.data.tags["kdflow.git_commit"] == COMMIT
    assert set(first.steps) == {"prepare_data", *TRAININGS, "compute_info_maps", "evaluate", "register_model"}
    assert {run.info.status for run in (first.parent, *first.steps.values())} == {"FINISHED"}


def test_the_registered_model_says_what_it_was_made_of(site: Site, first: Execution) -> None:
    client = MlflowClient(site.mlflow)
    name, version = first.steps["register_model"].data.tags["kdflow.registered"].split("/")
    tags = client.get_model_version(name, version).tags
    assert tags["kdflow.git_commit"] == COMMIT
    assert first.steps["prepare_data"].data.tags[f"kdflow.digest.{DATA}"] in tags.values()


def test_the_models_files_are_in_s3(site: Site, first: Execution, tmp_path: Path) -> None:
    run = first.steps["register_model"].info.run_id
    keys = {key for key in site.s3.keys("mlflow") if f"/{run}/" in key}
    assert any(key.endswith("student.onnx") for key in keys)
    loaded = MlflowClient(site.mlflow).download_artifacts(run, "model", str(tmp_path))  # by way of the server, as the steps do
    assert (Path(loaded) / "MLmodel").is_file()


def test_a_new_revision_trains_again(site: Site, first: Execution, second: Execution) -> None:
    assert set(second.steps) == set(first.steps)
    assert dataset(second.steps["prepare_data"])[1]["kdflow.version"] == md5(site, "v2") != md5(site, "v1")
    assert "unchanged, from the cache" not in second.output


@pytest.mark.parametrize("rev", ["v2", "v1"])
def test_known_data_train_nothing(site: Site, second: Execution, rev: str) -> None:
    again = executed(site, rev)
    assert set(again.steps) == {"register_model"}
    assert all(
        f"{step}: unchanged, from the cache" in again.output for step in ("prepare_data", *TRAININGS, "compute_info_maps", "evaluate")
    )
    versions = MlflowClient(site.mlflow).search_model_versions(
        f"name = '{again.steps['register_model'].data.tags['kdflow.registered'].split('/')[0]}'"
    )
    assert len(versions) == 2, "the same content is registered once"


# another split, so that no cache answers for the remote
AFRESH = ("--set", "data.split_seed=1")


def refused(site: Site, rev: str, *arguments: str, **changes: str) -> str:
    """The one line with which the pipeline refuses to run."""
    before = len(site.parents())
    done = site.pipeline(rev, *AFRESH, *arguments, **changes)
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Traceback" not in said and site.s3.secret not in said
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert done.stderr.strip().endswith(line)
    assert not [run for parent in site.parents()[: len(site.parents()) - before] for run in site.steps(parent) if run != "prepare_data"]
    return line


def test_wrong_credentials(site: Site) -> None:
    assert "the remote refuses the credentials" in refused(site, "v2", AWS_SECRET_ACCESS_KEY="wrong")


def test_a_missing_revision(site: Site) -> None:
    line = refused(site, "v3")
    assert "data_rev" in line and "'v3' is not a revision" in line


def test_data_that_nobody_tracks(site: Site) -> None:
    assert "data/none" in refused(site, "v2", "--set", "data.path=data/none")


def test_an_unreachable_server(site: Site) -> None:
    with socket.socket() as silent:  # bound, so that no other test's server takes the port, but not listening
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        assert "the remote cannot be read" in refused(site, "v2", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")


@pytest.fixture
def stored(site: Site) -> Iterator[tuple[str, bytes]]:
    """One picture's object in the remote, by key, and its content; whole again after the test."""
    listed = site.s3.client().get_object(Bucket="data", Key=_key(md5(site, "v2")))["Body"].read()
    picture = next(entry["md5"] for entry in json.loads(listed) if "images/" in entry["relpath"])
    content = site.s3.client().get_object(Bucket="data", Key=_key(picture))["Body"].read()
    yield _key(picture), content
    site.s3.client().put_object(Bucket="data", Key=_key(picture), Body=content)


def _key(name: str) -> str:
    return f"dvc/files/md5/{name[:2]}/{name[2:]}"


def test_a_missing_file(site: Site, stored: tuple[str, bytes]) -> None:
    site.s3.client().delete_object(Bucket="data", Key=stored[0])
    assert "the remote lacks a file" in refused(site, "v2")


def test_a_file_with_other_content(site: Site, stored: tuple[str, bytes]) -> None:
    key, content = stored
    site.s3.client().put_object(Bucket="data", Key=key, Body=content + b"\0")
    assert "the remote sent different content" in refused(site, "v2")
