"""Data at a revision, from a git repository with a DVC remote that is a folder."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from components.params.models import Params
from components.prepare_data.data_source import Origin, fetched, resolve
from components.prepare_data.step import prepare_data
from kd.errors import InputError
from kd.files import digest

PERSON = ("-c", "user.name=t", "-c", "user.email=t@example.org")
FILES = {"a/x.txt": "ex", "y.txt": "why"}


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *PERSON, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit_data(folder: Path, files: dict[str, str], path: str = "data/mine") -> str:
    """Track files with DVC, push them, commit; returns the commit."""
    for name, text in files.items():
        (folder / path / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / path / name).write_text(text)
    with Repo(str(folder)) as repo:
        repo.add(str(folder / path))
        repo.push()
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "data")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two revisions of data/mine: v1, and the branch's tip with one file more."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "true")
    folder, remote = tmp_path / "repo", tmp_path / "remote"
    folder.mkdir()
    git(folder, "init", "-qb", "main")
    Repo.init(str(folder)).close()
    (folder / ".dvc/config").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {remote}\n")
    (folder / "notes.txt").write_text("in git")
    commit_data(folder, FILES)
    git(folder, "tag", "v1")
    commit_data(folder, {"z.txt": "zed"})
    return folder


@pytest.fixture
def address(repo: Path) -> str:
    """The repository as something to clone, whose own cache and files are out of reach."""
    return repo.as_uri()


def contents(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}


def stored(remote: Path, text: str) -> Path:
    """The file of the remote with this content."""
    return next(file for file in remote.rglob("*") if file.is_file() and file.read_text() == text)


@pytest.mark.parametrize("cloned", [True, False])
@pytest.mark.parametrize(("rev", "files"), [("v1", FILES), ("main", FILES | {"z.txt": "zed"}), ("", FILES | {"z.txt": "zed"})])
def test_a_revision_has_its_own_files(repo: Path, cloned: bool, rev: str, files: dict[str, str]) -> None:
    origin = resolve("data/mine", repo.as_uri() if cloned else str(repo), rev)
    assert origin.commit == git(repo, "rev-parse", rev or "HEAD")
    assert origin.version.endswith(".dir") and origin.version in git(repo, "show", f"{rev or 'HEAD'}:data/mine.dvc")
    with fetched(origin) as folder:
        assert contents(folder) == files
    assert not folder.exists()


def test_the_version_is_known_without_a_download(address: str, tmp_path: Path) -> None:
    (tmp_path / "remote").rename(tmp_path / "away")
    assert resolve("data/mine", address).version.endswith(".dir")


def test_uncommitted_changes_do_not_count(repo: Path) -> None:
    before = resolve("data/mine", str(repo))
    (repo / "data/mine.dvc").write_text("outs: []")
    assert resolve("data/mine", str(repo)) == before


def test_the_output_of_a_stage_is_found_in_the_lock(repo: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo)
    (repo / "dvc.yaml").write_text("stages:\n  make:\n    cmd: mkdir made && echo 1 > made/one\n    outs:\n      - made\n")
    with Repo(str(repo)) as opened:
        opened.reproduce()
        opened.push()
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "made")
    with fetched(resolve("made", address)) as folder:
        assert contents(folder) == {"one": "1\n"}


def test_a_folder_of_this_machine_is_known_by_content(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.txt").write_text("a")
    origin = resolve(str(tmp_path / "mine"))
    assert origin == Origin(str(tmp_path / "mine"), digest(tmp_path / "mine"))
    with fetched(origin) as folder:
        assert folder == tmp_path / "mine"


@pytest.mark.parametrize(
    ("path", "rev", "told"),
    [
        ("data/mine", "v9", "data_rev: 'v9' is no revision"),
        ("data/none", "main", "main:data/none: is not there"),
        ("notes.txt", "main", "is not tracked by DVC"),
        ("data/mine/a", "main", "is not tracked by DVC as a whole"),
    ],
)
def test_what_a_revision_does_not_have(address: str, path: str, rev: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        resolve(path, address, rev)
    assert told.removeprefix("main") in str(error.value)


def test_a_stage_that_never_ran(repo: Path, address: str) -> None:
    (repo / "dvc.yaml").write_text("stages:\n  make:\n    cmd: mkdir made\n    outs:\n      - made\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "made")
    with pytest.raises(InputError, match="made: has no content yet"):
        resolve("made", address)


def test_a_missing_folder_and_repositories_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: is missing"):
        resolve(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="data_rev: 'v1' is a revision of no repository"):
        resolve(str(tmp_path), "", "v1")
    git(tmp_path, "init", "-q", "plain")
    git(tmp_path / "plain", "commit", "-q", "--allow-empty", "-m", "empty")
    with pytest.raises(InputError, match="is no DVC repository"):
        resolve("data", str(tmp_path / "plain"))
    with pytest.raises(InputError, match=r"data_repo: .* cannot be read"):
        resolve("data", (tmp_path / "nowhere").as_uri())


def test_an_unreachable_server_is_told_without_its_password() -> None:
    with pytest.raises(InputError) as error:
        resolve("data", "http://somebody:hidden@127.0.0.1:9/repo.git")
    assert "data_repo: http://***@127.0.0.1:9/repo.git cannot be read" in str(error.value) and "hidden" not in str(error.value)


def remove_file(remote: Path) -> None:
    stored(remote, "ex").unlink()


def remove_listing(remote: Path) -> None:
    for listing in remote.rglob("*.dir"):
        listing.unlink()


def damage(remote: Path) -> None:
    file = stored(remote, "ex")
    file.chmod(0o644)
    file.write_text("other content")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (remove_file, "the remote lacks a file"),
        (remove_listing, "the remote lacks a file"),
        (damage, "the remote sent other content"),
    ],
)
def test_a_remote_that_is_not_whole(address: str, tmp_path: Path, fault: Callable[[Path], None], told: str) -> None:
    origin = resolve("data/mine", address)
    fault(tmp_path / "remote")
    with pytest.raises(InputError) as error, fetched(origin):
        pass
    assert told in str(error.value) and "data/mine" in str(error.value) and "\n" not in str(error.value)


def test_an_unreachable_remote(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = "[core]\n    remote = s\n['remote \"s\"']\n    url = s3://bucket/x\n    endpointurl = http://127.0.0.1:9\n"
    (repo / ".dvc/config").write_text(config)
    git(repo, "commit", "-qam", "elsewhere")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(InputError, match="the remote cannot be read") as error, fetched(resolve("data/mine", repo.as_uri())):
        pass
    assert "127.0.0.1:9" in str(error.value) and "hidden" not in str(error.value)


def test_prepared_data_do_not_depend_on_where_they_came_from(
    repo: Path, write: dict[str, Any], params_with: Callable[..., Params], run: Any, tmp_path: Path
) -> None:
    boxes = [(0, 2.0, 2.0, 20.0, 20.0), (1, 30.0, 5.0, 20.0, 30.0), (1, 90.0, 90.0, 5.0, 5.0)]  # the last lies outside and is dropped
    source = write["coco"]({split: {f"{split}{i}": (64, 48, boxes) for i in range(3)} for split in ("train", "val", "test")})
    shutil.copytree(source, repo / "data/coco")
    commit_data(repo, {}, "data/coco")
    for output in (tmp_path / "direct", tmp_path / "fetched"):
        output.mkdir()
    prepare_data(params_with(f"data.path={source}", "data.image_size=64"), run, None, tmp_path / "direct")
    origin = resolve("data/coco", repo.as_uri())
    prepare_data(params_with("data.path=data/coco", "data.image_size=64"), run, origin, tmp_path / "fetched")
    assert digest(tmp_path / "direct") == digest(tmp_path / "fetched")
    assert "90" in (tmp_path / "fetched/summary.json").read_text(), "a dropped box is told, without the place it was fetched to"
    assert run.of("dataset")[1] == ("data/coco", str(origin), run.of("dataset")[0][2], "data", origin.version, origin.commit)
