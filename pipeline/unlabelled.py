"""Pictures without labels in the pipeline: a folder in the same repository and commit as the data, and part of their version."""

from pathlib import Path

from components.prepare_data.data_source import DataSource, resolve_source
from components.shared.unlabelled import check_unlabelled


def resolve_unlabelled(path: str, repo: str, rev: str) -> DataSource | None:
    """Resolve the folder `data.unlabelled`, without a download; None for "".

    Args:
        path: folder tracked by DVC in `repo`; without `repo`, a folder on this machine.
        repo: address of a git repository, or its folder; "" for none.
        rev: commit, tag or branch; "" for the newest commit.

    Raises:
        InputError: if there is no such folder.
    """
    if not path:
        return None
    if not repo:
        check_unlabelled(Path(path))
    return resolve_source(path, repo, rev)


def data_version(data: DataSource, unlabelled: DataSource | None) -> str:
    """The version of the data: that of the labeled pictures and, if there are others, theirs."""
    return f"{data.version} {unlabelled.version}" if unlabelled else data.version
