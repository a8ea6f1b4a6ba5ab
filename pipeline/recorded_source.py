"""The repository and commit of the data, recorded with the parent run in MLflow, where every step of this execution finds them.

As parameters, they would be part of the cache's key, and the same data at another commit would train again.
"""

from components.prepare_data.data_source import DataSource
from components.runtime.store import connect_to_mlflow, import_mlflow, open_parent_run, tracking_uri
from components.runtime.text import mask_passwords
from kd.errors import InputError

REPO, COMMIT, REVISION = "kdflow.data_repo", "kdflow.data_commit", "kdflow.data_rev"


def record_source(parent: str, source: DataSource, rev: str) -> None:
    """Tag the run `parent` with the repository and commit of the data, and the revision `rev` that was asked for."""
    client = connect_to_mlflow()
    for name, value in ((REPO, source.repo), (COMMIT, source.commit), (REVISION, rev)):
        client.set_tag(parent, name, value)


def recorded_source() -> tuple[str, str]:
    """The data's repository and commit, as recorded in this execution; both are "" for a folder on this machine.

    Raises:
        InputError: if the parent run in MLflow does not have them.
    """
    import_mlflow()
    client = connect_to_mlflow()
    _, parent = open_parent_run(client)
    tags = client.get_run(parent).data.tags
    if not {REPO, COMMIT} <= set(tags):
        problem = f"the run {parent} of this execution does not name the data's repository"
        raise InputError(mask_passwords(tracking_uri()), problem, "start the pipeline again, and do not delete its run in MLflow")
    return tags[REPO], tags[COMMIT]
