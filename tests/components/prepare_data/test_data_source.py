"""Data at a git revision, with a local folder as the DVC remote."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from PIL import Image

from components.params.models import Params
from components.prepare_data.data_source import DataSource, check_remote, fetch_data, resolve_source
from components.prepare_data.step import prepare_data
from kd.errors import InputError
from kd.files import digest
from tests.packed import packed

AUTHOR = ("-c", "user.name=t", "-c", "user.email=t@example.org")
FILES = {"a/x.txt": "ex", "y.txt": "why"}


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *AUTHOR, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


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
    """A repository with two revisions of data/mine: the tag v1, and the branch main with one more file."""
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
    """The address of the repository. DVC clones it, so its own cache and files are not used."""
    return repo.as_uri()


def contents(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}


def find_in_remote(remote: Path, text: str) -> Path:
    """The file in the remote with this content."""
    return next(file for file in remote.rglob("*") if file.is_file() and file.read_text() == text)


@pytest.mark.parametrize("cloned", [True, False])
@pytest.mark.parametrize(("rev", "files"), [("v1", FILES), ("main", FILES | {"z.txt": "zed"}), ("", FILES | {"z.txt": "zed"})])
def test_a_revision_is_resolved_and_fetched(repo: Path, cloned: bool, rev: str, files: dict[str, str]) -> None:
    source = resolve_source("data/mine", repo.as_uri() if cloned else str(repo), rev)
    assert source.commit == git(repo, "rev-parse", rev or "HEAD")
    assert source.version.endswith(".dir") and source.version in git(repo, "show", f"{rev or 'HEAD'}:data/mine.dvc")
    with fetch_data(source) as folder:
        assert contents(folder) == files
    assert not folder.exists()


def test_resolving_needs_no_download(address: str, tmp_path: Path) -> None:
    (tmp_path / "remote").rename(tmp_path / "away")
    assert resolve_source("data/mine", address).version.endswith(".dir")


def test_uncommitted_changes_are_ignored(repo: Path) -> None:
    before = resolve_source("data/mine", str(repo))
    (repo / "data/mine.dvc").write_text("outs: []")
    assert resolve_source("data/mine", str(repo)) == before


def test_the_output_of_a_stage_is_resolved_from_dvc_lock(repo: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo)
    (repo / "dvc.yaml").write_text("stages:\n  make:\n    cmd: mkdir made && echo 1 > made/one\n    outs:\n      - made\n")
    with Repo(str(repo)) as opened:
        opened.reproduce()
        opened.push()
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "made")
    with fetch_data(resolve_source("made", address)) as folder:
        assert contents(folder) == {"one": "1\n"}


def test_a_local_folder_has_its_digest_as_version(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.txt").write_text("a")
    source = resolve_source(str(tmp_path / "mine"))
    assert source == DataSource(str(tmp_path / "mine"), digest(tmp_path / "mine"))
    with fetch_data(source) as folder:
        assert folder == tmp_path / "mine"


@pytest.mark.parametrize(
    ("path", "rev", "words"),
    [
        ("data/mine", "v9", "data_rev: 'v9' is not a revision"),
        ("data/none", "main", "main:data/none: does not exist"),
        ("notes.txt", "main", "is not tracked by DVC"),
        ("data/mine/a", "main", "is not tracked by DVC as a whole"),
    ],
)
def test_a_missing_revision_or_path_is_rejected(address: str, path: str, rev: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        resolve_source(path, address, rev)
    assert words.removeprefix("main") in str(error.value)


@pytest.mark.parametrize("rev", ["v9", ""])
def test_a_repository_without_a_commit_at_head_or_without_git(repo: Path, tmp_path: Path, rev: str) -> None:
    tags, folder = tmp_path / "tags.git", tmp_path / "folder"
    git(tmp_path, "init", "-q", "--bare", str(tags))
    git(repo, "push", "-q", str(tags), "v1")
    folder.mkdir()
    for place in (tags.as_uri(), str(tags), str(folder)):
        with pytest.raises(InputError, match=rf"data_rev: '{rev or 'HEAD'}' is not a revision of {place}"):
            resolve_source("data/mine", place, rev)


def test_a_stage_that_never_ran_is_rejected(repo: Path, address: str) -> None:
    (repo / "dvc.yaml").write_text("stages:\n  make:\n    cmd: mkdir made\n    outs:\n      - made\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "made")
    with pytest.raises(InputError, match="made: has no content yet"):
        resolve_source("made", address)


def test_missing_folders_and_repositories_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: is missing"):
        resolve_source(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="data_rev: 'v1' is given without data_repo"):
        resolve_source(str(tmp_path), "", "v1")
    git(tmp_path, "init", "-q", "plain")
    git(tmp_path / "plain", "commit", "-q", "--allow-empty", "-m", "empty")
    with pytest.raises(InputError, match="is not a DVC repository"):
        resolve_source("data", str(tmp_path / "plain"))
    with pytest.raises(InputError, match=r"data_repo: .* cannot be read"):
        resolve_source("data", (tmp_path / "nowhere").as_uri())


def test_an_unreachable_server_is_reported_without_its_password() -> None:
    with pytest.raises(InputError) as error:
        resolve_source("data", "http://somebody:hidden@127.0.0.1:9/repo.git")
    assert "data_repo: http://***@127.0.0.1:9/repo.git cannot be read" in str(error.value) and "hidden" not in str(error.value)


def remove_file(remote: Path) -> None:
    find_in_remote(remote, "ex").unlink()


def remove_listing(remote: Path) -> None:
    for listing in remote.rglob("*.dir"):
        listing.unlink()


def change_file(remote: Path) -> None:
    file = find_in_remote(remote, "ex")
    file.chmod(0o644)
    file.write_text("other content")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove_file, "the remote lacks a file"),
        (remove_listing, "the remote lacks a file"),
        (change_file, "the remote sent different content"),
    ],
)
def test_a_damaged_remote_is_rejected(address: str, tmp_path: Path, damage: Callable[[Path], None], words: str) -> None:
    source = resolve_source("data/mine", address)
    damage(tmp_path / "remote")
    with pytest.raises(InputError) as error, fetch_data(source):
        pass
    assert words in str(error.value) and "data/mine" in str(error.value) and "\n" not in str(error.value)


def test_the_remote_is_checked_without_a_download(address: str, tmp_path: Path) -> None:
    source = resolve_source("data/mine", address)
    remove_file(tmp_path / "remote")
    check_remote(source)


def test_a_remote_without_the_list_of_files_is_found_by_the_check(address: str, tmp_path: Path) -> None:
    source = resolve_source("data/mine", address)
    remove_listing(tmp_path / "remote")
    with pytest.raises(InputError, match="the remote lacks a file"):
        check_remote(source)


def test_an_unreachable_remote_is_reported(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = "[core]\n    remote = s\n['remote \"s\"']\n    url = s3://bucket/x\n    endpointurl = http://127.0.0.1:9\n"
    (repo / ".dvc/config").write_text(config)
    git(repo, "commit", "-qam", "change the remote")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(InputError, match="the remote cannot be read") as error, fetch_data(resolve_source("data/mine", repo.as_uri())):
        pass
    assert "127.0.0.1:9" in str(error.value) and "hidden" not in str(error.value)


def test_local_and_fetched_data_give_the_same_output(
    repo: Path, writers: dict[str, Any], params_with: Callable[..., Params], run: Any, tmp_path: Path
) -> None:
    boxes = [(0, 2.0, 2.0, 20.0, 20.0), (1, 30.0, 5.0, 20.0, 30.0), (1, 90.0, 90.0, 5.0, 5.0)]  # the last one is outside and is dropped
    folder = writers["coco"]({split: {f"{split}{i}": (64, 48, boxes) for i in range(3)} for split in ("train", "val", "test")})
    shutil.copytree(folder, repo / "data/coco")
    commit_data(repo, {}, "data/coco")
    for output in (tmp_path / "direct", tmp_path / "fetched"):
        output.mkdir()
    prepare_data(params_with(f"data.path={folder}", "data.image_size=64"), run, None, tmp_path / "direct")
    source = resolve_source("data/coco", repo.as_uri())
    prepare_data(params_with("data.path=data/coco", "data.image_size=64"), run, source, tmp_path / "fetched")
    assert digest(tmp_path / "direct") == digest(tmp_path / "fetched")
    assert "90" in (tmp_path / "fetched/summary.json").read_text(), "the dropped box is listed, without the temporary folder"
    assert run.of("dataset")[1] == ("data/coco", str(source), run.of("dataset")[0][2], "data", source.version, source.commit)


def test_pictures_without_labels_come_from_the_same_repository(
    repo: Path, writers: dict[str, Any], params_with: Callable[..., Params], run: Any, tmp_path: Path
) -> None:
    boxes = [(0, 2.0, 2.0, 20.0, 20.0), (1, 30.0, 5.0, 20.0, 30.0)]
    folder = writers["coco"]({split: {f"{split}{i}": (64, 48, boxes) for i in range(3)} for split in ("train", "val", "test")})
    more = tmp_path / "more"
    more.mkdir()
    Image.new("RGB", (33, 22), "green").save(more / "a.png")
    shutil.copytree(folder, repo / "data/coco")
    commit_data(repo, {}, "data/coco")
    shutil.copytree(more, repo / "data/more")
    commit_data(repo, {}, "data/more")
    for output in (tmp_path / "direct", tmp_path / "fetched"):
        output.mkdir()
    prepare_data(params_with(f"data.path={folder}", f"data.unlabelled={more}", "data.image_size=64"), run, None, tmp_path / "direct")
    sources = [resolve_source(path, repo.as_uri()) for path in ("data/coco", "data/more")]
    changes = ("data.path=data/coco", "data.unlabelled=data/more", "data.image_size=64")
    prepare_data(params_with(*changes), run, sources[0], tmp_path / "fetched", sources[1])
    assert packed(tmp_path / "fetched/unlabelled") == {"a.png": (more / "a.png").read_bytes()}
    assert digest(tmp_path / "direct") == digest(tmp_path / "fetched")
    summary_digest = run.of("dataset")[0][2]
    assert run.of("dataset")[3] == ("data/more", str(sources[1]), summary_digest, "unlabelled", sources[1].version, sources[1].commit)
