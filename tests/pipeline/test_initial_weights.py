"""Initial weights on Kubeflow: the version of a file, on this machine or tracked by DVC in a repository, and the file of this version."""

import subprocess
from pathlib import Path

import pytest

from components.prepare_data.data_source import DataSource
from components.runtime.store import connect_to_mlflow, open_parent_run
from components.shared.initial_weights import find_weights
from kd.errors import InputError
from kd.files import digest
from pipeline.initial_weights import fetched_weights, resolve_weights
from pipeline.recorded_source import record_source
from tests.components.stores import new_store
from tests.projects import dvc, environment

INIT = "darknet53.conv.74"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file of weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KDFLOW_EXECUTION", "one")
    new_store(tmp_path)
    (tmp_path / INIT).write_bytes(b"one")
    record("", "")
    return tmp_path


def record(repo: str, commit: str) -> None:
    """Record where the data of this execution are, as its first step does."""
    record_source(open_parent_run(connect_to_mlflow())[1], DataSource("pictures", "version", repo, commit), "main")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, env=environment(), check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(folder: Path) -> str:
    """A repository with a DVC remote that tracks the file."""
    repo = folder / "repo"
    repo.mkdir()
    git(repo, "init", "-q")
    for command in (("init", "-q"), ("remote", "add", "-q", "-d", "store", str(folder / "store"))):
        dvc(repo, *command, seconds=60)
    commit(repo, b"one")
    return str(repo)


def commit(repo: Path, content: bytes) -> None:
    """Track a new content of the file, which the steps of this execution then find."""
    (repo / INIT).write_bytes(content)
    dvc(repo, "add", "-q", INIT, seconds=60)
    dvc(repo, "push", "-q", seconds=60)
    (repo / INIT).unlink()
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "weights")
    record(str(repo), git(repo, "rev-parse", "HEAD"))


def test_random_weights_have_no_version_and_nothing_is_fetched() -> None:
    assert resolve_weights("", "", "") == resolve_weights("", "repo", "main") == ""
    with fetched_weights("train_teacher", "") as arguments:
        assert arguments == {}


@pytest.mark.parametrize(("step", "role"), [("train_teacher", "teacher"), ("train_baseline", "student"), ("distill_student", "student")])
def test_a_training_gets_the_file_of_the_resolved_version(step: str, role: str, folder: Path) -> None:
    resolved = resolve_weights(INIT, "", "")
    assert resolved == resolve_weights(INIT, "", "")
    with fetched_weights(step, resolved) as arguments:
        found = find_weights(INIT, arguments["weights"] / role)
        assert found and found.file.read_bytes() == b"one" and found.sha256 == digest(folder / INIT)
    assert not arguments["weights"].exists()


def test_a_file_that_changed_since_is_refused(folder: Path) -> None:
    resolved = resolve_weights(INIT, "", "")
    (folder / INIT).write_bytes(b"two")
    assert resolve_weights(INIT, "", "") != resolved
    with pytest.raises(InputError, match=r"changed from .* to .* while the pipeline ran"), fetched_weights("train_teacher", resolved):
        pass


def test_a_file_in_a_repository_is_known_by_content(repository: str) -> None:
    resolved = resolve_weights(INIT, repository, "")
    git(Path(repository), "commit", "-qm", "nothing", "--allow-empty")
    assert resolve_weights(INIT, repository, "") == resolved, "another commit is no other version"
    with fetched_weights("train_teacher", resolved) as arguments:
        found = find_weights(INIT, arguments["weights"] / "teacher")
        assert found and found.file.read_bytes() == b"one"
    commit(Path(repository), b"two")
    assert resolve_weights(INIT, repository, "") != resolved
    with pytest.raises(InputError, match="while the pipeline ran"), fetched_weights("train_teacher", resolved):
        pass
    with pytest.raises(InputError, match=r"none\.weights: does not exist"):
        resolve_weights("none.weights", repository, "")
