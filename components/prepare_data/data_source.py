"""Download a dataset that DVC tracks at a git revision. Credentials for git and the DVC remote come from the environment."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from components.prepare_data.network import exception_chain, is_network_fault, retry_network_faults
from components.runtime.text import mask_passwords, one_line
from kd.errors import InputError
from kd.files import digest

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo


@dataclass(frozen=True)
class DataSource:
    """The location and version of a dataset.

    Attributes:
        path: folder in the repository, or on this machine if `repo` is "".
        version: identifies the content: DVC's md5, or the SHA-256 of a folder on this machine.
        repo: git repository, as an address or a folder.
        commit: commit in the repository.
    """

    path: str
    version: str
    repo: str = ""
    commit: str = ""

    def __str__(self) -> str:
        return f"{mask_passwords(self.repo)}@{self.commit}:{self.path}" if self.repo else self.path


@retry_network_faults
def resolve_source(path: str, repo: str = "", rev: str = "") -> DataSource:
    """Resolve `path` at revision `rev` of `repo` to a commit and a version, without downloading the data.

    Args:
        path: folder tracked by DVC in `repo`; without `repo`, a folder on this machine.
        repo: address of a git repository, or its folder.
        rev: commit, tag or branch; "" for the newest commit.

    Raises:
        InputError: if the repository, revision or path does not exist, or DVC does not track the path.
    """
    if rev and not repo:
        raise InputError("data_rev", f"'{rev}' is given without data_repo", "set data_repo, which is '.' for the repository in this folder")
    if not repo:
        return DataSource(path, digest(_check_exists(Path(path))))
    with _open_repo(repo, rev) as opened:
        return DataSource(path, _find_output(opened, repo, path).hash_info.value, repo, opened.get_rev())


@retry_network_faults
def check_remote(source: DataSource) -> None:
    """Read the list of files of `source` from its DVC remote; nothing is checked for a folder on this machine.

    Raises:
        InputError: if the remote lacks the list, refuses the credentials, or cannot be reached.
    """
    from dvc.api import DVCFileSystem

    if not source.repo:
        return
    try:
        files = DVCFileSystem(source.repo, rev=source.commit)
        if not files.ls(source.path, detail=False):  # DVC lists nothing if it cannot read the list; a download says why
            with TemporaryDirectory() as folder:
                files.get(source.path, f"{folder}/data", recursive=True)
    except Exception as error:  # as in `_download`
        raise InputError(str(source), *_download_problem(error)) from error


@contextmanager
def fetch_data(source: DataSource) -> Iterator[Path]:
    """Provide the folder with the data of `source`; data from a repository are downloaded to a temporary folder and verified.

    Raises:
        InputError: if the remote lacks a file, refuses the credentials, cannot be reached, or sends different content.
    """
    if not source.repo:
        yield _check_exists(Path(source.path))
        return
    with TemporaryDirectory(prefix="kdflow-data-") as temporary:
        folder = Path(temporary) / "data"
        _download(source, folder)
        yield folder


@retry_network_faults
def _download(source: DataSource, folder: Path) -> None:
    from dvc.api import DVCFileSystem

    shutil.rmtree(folder, ignore_errors=True)  # of a former attempt
    try:
        DVCFileSystem(source.repo, rev=source.commit).get(source.path, str(folder), recursive=True)
    except Exception as error:  # git, DVC and the clients of remotes share no base class
        raise InputError(str(source), *_download_problem(error)) from error
    with _open_repo(source.repo, source.commit) as opened:
        md5 = _md5(opened, folder, _find_output(opened, source.repo, source.path).hash_name)
    if md5 != source.version:
        problem = f"the remote sent different content (md5 {md5}) than git records ({source.version})"
        raise InputError(str(source), problem, "delete the damaged files in the remote, then run `dvc push` with intact data")


@contextmanager
def _open_repo(repo: str, rev: str) -> Iterator["Repo"]:
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import CloneError, RevError, SCMError
    from scmrepo.exceptions import SCMError as GitError

    address = mask_passwords(repo)
    try:
        # without a revision, DVC would read a local folder's working tree with its uncommitted changes
        opened = Repo.open(repo, rev=rev or ("HEAD" if Path(repo).exists() else None))
    except NotDvcRepoError:
        raise InputError("data_repo", f"{address} is not a DVC repository", "run `dvc init` there and commit it") from None
    except CloneError as error:
        remedy = "check the address, the network, and git's credentials in the environment"
        raise InputError("data_repo", f"{address} cannot be read ({_reason(error)})", remedy) from error
    except (SCMError, GitError) as error:  # RevError, or the folder is no git repository, or its HEAD has no commit
        reason = "" if isinstance(error, RevError) else f" ({_reason(error)})"
        problem = f"'{rev or 'HEAD'}' is not a revision of {address}{reason}"
        raise InputError("data_rev", problem, "give a pushed commit, tag or branch") from None
    with opened:
        yield opened


def _find_output(opened: "Repo", repo: str, path: str) -> "Output":
    from dvc.exceptions import OutputNotFoundError

    location = f"{mask_passwords(repo)}@{opened.get_rev()}:{path}"
    absolute = opened.fs.join(opened.root_dir, path)
    try:
        output: Output = opened.find_outs_by_path(absolute)[0]
    except OutputNotFoundError:
        exists = opened.fs.exists(absolute) or opened.dvcfs.exists(path)
        problem = "is not tracked by DVC as a whole" if exists else "does not exist"
        raise InputError(location, problem, f"run `dvc add {path}` and commit {path}.dvc, or correct the path") from None
    if not output.hash_info.value:
        raise InputError(location, "has no content yet", "run `dvc repro` and commit dvc.lock")
    return output


def _md5(opened: "Repo", folder: Path, hash_name: str) -> str:
    """DVC's hash of the content of `folder`."""
    from dvc.fs import LocalFileSystem
    from dvc_data.hashfile.build import build

    _, _, tree = build(opened.cache.local, str(folder), LocalFileSystem(), hash_name, dry_run=True)
    return str(tree.hash_info.value)


def _check_exists(folder: Path) -> Path:
    if not folder.exists():
        remedy = "run `dvc repro data/dvc.yaml` for the embedded dataset, set data.path to your own, or give data_repo and data_rev"
        raise InputError(folder, "is missing", remedy)
    return folder


def _download_problem(error: Exception) -> tuple[str, str]:
    """The problem and the remedy of a failed download."""
    found = list(exception_chain(error))
    if any(isinstance(cause, PermissionError) or "Credentials" in type(cause).__name__ for cause in found):
        return f"the remote refuses the credentials ({_reason(error)})", "correct them in the environment"
    if any(isinstance(cause, FileNotFoundError) for cause in found) and not is_network_fault(error):
        return f"the remote lacks a file ({_reason(error)})", "run `dvc push` on the machine with the data"
    return f"the remote cannot be read ({_reason(error)})", "check its address and the network, then run again"


def _reason(error: Exception) -> str:
    """The message of the first cause of `error`, because `error` itself only names the requested file."""
    with_message = [cause for cause in exception_chain(error) if str(cause)]
    return one_line((with_message[1:2] or with_message or [error])[0])
