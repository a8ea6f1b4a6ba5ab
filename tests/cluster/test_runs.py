"""Runs on Kubeflow itself: digests of `dvc repro`, cached runs, wrong input, and one parent run in MLflow, whatever happens."""

import subprocess
import sys

import pytest
from mlflow import MlflowClient

from kd.files import digest, read_json
from tests.cluster.conftest import MODEL, TIMEOUT, Cluster, Submitted
from tests.projects import STEPS, environment

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * TIMEOUT)]


@pytest.fixture(scope="module")
def first(cluster: Cluster) -> Submitted:
    """A run that succeeded."""
    return cluster.submit("--wait")


def test_a_run_leaves_the_bytes_of_dvc_repro(cluster: Cluster, first: Submitted) -> None:
    outputs = {"dataset": "prepare_data", "teacher": "train_teacher", "student": "distill_student", "evaluation": "evaluate"}
    if not cluster.adds_like_dvc_repro:
        outputs = {"dataset": "prepare_data"}
    expected = {name: digest(cluster.project / "outputs" / step) for name, step in outputs.items()}
    assert {name: cluster.digests(first.id)[name] for name in outputs} == expected


def test_each_step_ran(cluster: Cluster, first: Submitted) -> None:
    assert first.output.rstrip().endswith("run succeeded")
    assert all(f"{step.replace('_', '-')}: succeeded" in first.output for step in STEPS)


def test_mlflow_has_one_parent_with_each_step_once(cluster: Cluster, first: Submitted) -> None:
    (parent,), children = cluster.mlflow(first.id)
    assert sorted(child.info.run_name for child in children) == sorted(STEPS)
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}


def test_the_registered_model_names_its_run(cluster: Cluster, first: Submitted) -> None:
    versions = MlflowClient().search_model_versions(f"name = '{MODEL}'")
    (version,) = [version for version in versions if version.tags["kdflow.execution"] == first.id]
    assert version.tags["kdflow.data_digest"] == read_json(cluster.project / "outputs/prepare_data/summary.json")["digest"]


def test_a_second_run_is_cached(cluster: Cluster, first: Submitted) -> None:
    again = cluster.submit("--wait")
    assert set(STEPS) == {step for step in STEPS if f"{step.replace('_', '-')}: cached" in again.output} | {"register_model"}
    (parent,), children = cluster.mlflow(again.id)
    assert {child.info.run_name for child in children} == {"register_model"}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert cluster.digests(again.id) == cluster.digests(first.id)


def test_wrong_input_fails_once_with_one_line(cluster: Cluster) -> None:
    run = cluster.submit("--wait", rev="no-such-tag", code=1)
    (line,) = [line for line in run.output.splitlines() if line.startswith("resolve-data failed")]
    assert "'no-such-tag' is not a revision of" in line and "give a pushed commit, tag or branch" in line
    assert len(cluster.pods(run.id, "resolve_data")) == 1
    parents, children = cluster.mlflow(run.id)
    assert [parent.info.status for parent in parents] == ["FAILED"] and not children


def test_a_crash_and_a_deleted_pod_do_not_change_the_bytes(cluster: Cluster, first: Submitted) -> None:
    setting = "teacher.train.epochs=120"
    run = cluster.submit("--set", setting)
    cluster.until_epoch(run.id, "train_teacher", 1)
    (pod,) = cluster.pods(run.id, "train_teacher")
    cluster.kill(pod, "train_teacher")
    cluster.until_epoch(run.id, "train_teacher", 1, attempt=2)
    cluster.kubectl("delete", "pod", pod)
    cluster.wait(run.id, "succeeded")
    assert len(cluster.pods(run.id, "train_teacher")) == 2, "the first pod started the killed training again"
    assert "resuming after epoch" in cluster.log(run.id, "train_teacher", "--attempt", "2")
    (parent,), children = cluster.mlflow(run.id)
    statuses = [child.info.status for child in children if child.info.run_name == "train_teacher"]
    assert sorted(statuses) == ["FINISHED", "KILLED", "KILLED"] and parent.info.status == "FINISHED"
    if not cluster.adds_like_dvc_repro:
        return
    command = [sys.executable, "-m", "components.train_teacher", "--set", setting, "--output", "outputs/undisturbed"]
    subprocess.run(command, cwd=cluster.project, env=environment(), check=True)
    assert cluster.digests(run.id)["teacher"] == digest(cluster.project / "outputs/undisturbed")
