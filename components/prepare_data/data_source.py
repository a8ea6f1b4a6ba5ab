"""Labelled pictures at a git revision: DVC knows their content, a remote holds them, and credentials come from the environment."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from components.runtime.recorder import mask_passwords, one_line
from kd.errors import InputError
from kd.files import digest

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo


@dataclass(frozen=True)
class Origin:
    """Where data come from.

    Attributes:
        path: folder in the repository, or on this machine where `repo` is "".
        version: identity of the content: DVC's md5, or the SHA-256 of a folder on this machine.
        repo: git repository, as address or folder.
        commit: commit in it.
    """

    path: str
    version: str
    repo: str = ""
    commit: str = ""

    def __str__(self) -> str:
        return f"{mask_passwords(self.repo)}@{self.commit}:{self.path}" if self.repo else self.path


def resolve(path: str, repo: str = "", rev: str = "") -> Origin:
    """What `path` holds at revision `rev` of `repo`; no picture is downloaded.

    Args:
        path: folder that DVC tracks in `repo`; without `repo`, a folder on this machine.
        repo: address of a git repository, or a folder that is one.
        rev: commit, tag or branch; "" for the newest commit.

    Raises:
        InputError: if repository, revision or path are missing, or DVC does not track the path.
    """
    if rev and not repo:
        raise InputError("data_rev", f"'{rev}' is a revision of no repository", "name it in data_repo; '.' is the one of this folder")
    if not repo:
        return Origin(path, digest(_present(Path(path))))
    with _opened(repo, rev) as opened:
        return Origin(path, _tracked(opened, repo, path).hash_info.value, repo, opened.get_rev())


@contextmanager
def fetched(origin: Origin) -> Iterator[Path]:
    """The folder with the data of `origin`, downloaded and compared with its version where they come from a repository.

    Raises:
        InputError: if the remote lacks a file, refuses the credentials, does not answer, or sends other content.
    """
    if not origin.repo:
        yield _present(Path(origin.path))
        return
    with TemporaryDirectory(prefix="kdflow-data-") as temporary:
        folder = Path(temporary) / "data"
        _download(origin, folder)
        yield folder


def _download(origin: Origin, folder: Path) -> None:
    from dvc.api import DVCFileSystem

    try:
        DVCFileSystem(origin.repo, rev=origin.commit).get(origin.path, str(folder), recursive=True)
    except Exception as error:  # git, DVC and each kind of remote have their own
        raise InputError(str(origin), *_fault(error)) from error
    with _opened(origin.repo, origin.commit) as opened:
        found = _md5(opened, folder, _tracked(opened, origin.repo, origin.path).hash_name)
    if found != origin.version:
        problem = f"the remote sent other content (md5 {found}) than git names ({origin.version})"
        raise InputError(str(origin), problem, "delete the damaged files in the remote, then `dvc push` where the data are whole")


@contextmanager
def _opened(repo: str, rev: str) -> Iterator["Repo"]:
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import CloneError, RevError

    # a folder without a revision would be its working tree, uncommitted changes and all
    try:
        opened = Repo.open(repo, rev=rev or ("HEAD" if Path(repo).exists() else None))
    except RevError:
        raise InputError("data_rev", f"'{rev}' is no revision of {mask_passwords(repo)}", "name a commit, tag or branch that was pushed") from None
    except NotDvcRepoError:
        raise InputError("data_repo", f"{mask_passwords(repo)} is no DVC repository", "run `dvc init` there and commit it") from None
    except CloneError as error:
        problem = f"{mask_passwords(repo)} cannot be read ({_reason(error)})"
        raise InputError("data_repo", problem, "check the address, the network, and git's credentials in the environment") from error
    with opened:
        yield opened


def _tracked(opened: "Repo", repo: str, path: str) -> "Output":
    """DVC's record of `path`."""
    from dvc.exceptions import OutputNotFoundError

    place = opened.fs.join(opened.root_dir, path)
    try:
        record: Output = opened.find_outs_by_path(place)[0]
    except OutputNotFoundError:
        there = opened.fs.exists(place) or opened.dvcfs.exists(path)
        problem = "is not tracked by DVC as a whole" if there else "is not there"
        remedy = f"run `dvc add {path}` and commit {path}.dvc, or mend data.path"
        raise InputError(f"{mask_passwords(repo)}@{opened.get_rev()}:{path}", problem, remedy) from None
    if not record.hash_info.value:
        raise InputError(f"{mask_passwords(repo)}@{opened.get_rev()}:{path}", "has no content yet", "run `dvc repro` and commit dvc.lock")
    return record


def _md5(opened: "Repo", folder: Path, hash_name: str) -> str:
    """DVC's hash of what is in `folder`."""
    from dvc.fs import LocalFileSystem
    from dvc_data.hashfile.build import build

    _, _, found = build(opened.cache.local, str(folder), LocalFileSystem(), hash_name, dry_run=True)
    return str(found.hash_info.value)


def _present(folder: Path) -> Path:
    if not folder.exists():
        remedy = "`dvc repro data/dvc.yaml` composes the embedded data; name your own with data.path, or give data_repo and data_rev"
        raise InputError(folder, "is missing", remedy)
    return folder


def _fault(error: Exception) -> tuple[str, str]:
    """What went wrong with a download, and the remedy."""
    causes = list(_causes(error))
    if any(isinstance(cause, PermissionError) or "Credentials" in type(cause).__name__ for cause in causes):
        return f"the remote refuses the credentials ({_reason(error)})", "mend them in the environment"
    if any(isinstance(cause, FileNotFoundError) for cause in causes):
        return f"the remote lacks a file ({_reason(error)})", "`dvc push` where the data are"
    return f"the remote cannot be read ({_reason(error)})", "check its address and the network, then run again"


def _causes(error: BaseException | None) -> Iterator[Exception]:
    while isinstance(error, Exception):
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: Exception) -> str:
    """The innermost cause that says something; outer ones only name the file that was asked for."""
    said = [cause for cause in _causes(error) if str(cause)]
    return one_line(said[1] if len(said) > 1 else said[0] if said else error)
