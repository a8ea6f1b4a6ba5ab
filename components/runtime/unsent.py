"""Records that MLflow's store did not take, because it was not available: kept beside the checkpoints, and sent by the next step."""

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from components.runtime.execution import Execution
from components.runtime.store import checkpoint_folder, open_parent_run, tracking_uri
from components.runtime.stored_run import StoredRun
from kd.files import atomic_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

FILE = "records.json"
MAX_KEPT = 100
"""Runs; the oldest ones are deleted."""
REFUSED = (400, 404, 409)
"""HTTP status codes that a repeated request would get again."""


class UnsentCall(NamedTuple):
    """A call of a method of `StoredRun`; the arguments can be written as JSON."""

    method: str
    arguments: list[Any]


class UnsentRun(NamedTuple):
    """A run with records that were not sent.

    Attributes:
        store: digest of the store's address, which may have a password in it.
        step: the step's name.
        execution: id and name of its execution.
        started: in milliseconds since 1970.
        run_id: the run, if it could be created.
        is_ours: whether kdflow started the run, and ends it.
        calls: in their order.
    """

    store: str
    step: str
    execution: tuple[str, str]
    started: int
    run_id: str | None
    is_ours: bool
    calls: list[UnsentCall]


def unsent_folder() -> Path:
    """The folder with a folder for each run with unsent records."""
    return checkpoint_folder() / "unsent"


def store_digest() -> str:
    """Digest of the address of the store."""
    return hashlib.sha256(tracking_uri().encode()).hexdigest()


def is_refused(error: Exception) -> bool:
    """Whether the store refuses a record for what it is, so that sending it again is useless."""
    from mlflow.exceptions import MlflowException

    return isinstance(error, FileNotFoundError) or (isinstance(error, MlflowException) and error.get_http_status_code() in REFUSED)


def save_unsent(folder: Path, run: UnsentRun) -> None:
    """Write `run` to `folder`, and delete the oldest folders if there are too many."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / FILE) as temporary:
        temporary.write_text(json.dumps(run._asdict()), encoding="utf-8")
    for old in sorted(folder.parent.iterdir())[:-MAX_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def copy_artifact(path: Path, folder: Path) -> Path:
    """Copy a file or folder that could not be uploaded to the `folder` of its run. Returns the path of the copy."""
    parent = folder / "artifacts" / uuid.uuid4().hex[:8]
    parent.mkdir(parents=True)
    copy = shutil.copytree if path.is_dir() else shutil.copyfile
    return Path(copy(path, parent / path.name))


def send_unsent(client: "MlflowClient") -> None:
    """Send what earlier steps could not send to this store, and delete it.

    Raises:
        Exception: of the store, if it fails again; what was not sent is kept.
    """
    for folder in sorted(unsent_folder().glob("*")):
        with _locked(folder) as is_locked:
            run = _read(folder / FILE) if is_locked else None
            if run and run.store == store_digest():
                _send(client, folder, run)
                shutil.rmtree(folder, ignore_errors=True)


def _send(client: "MlflowClient", folder: Path, run: UnsentRun) -> None:
    parent = open_parent_run(client, Execution(*run.execution)) if run.is_ours else None
    if run.run_id:
        stored = StoredRun(client, run.run_id, parent)
    else:
        assert parent, "a run that somebody else started has an id"
        stored = StoredRun.create_run(client, run.step, parent, {"kdflow.step": run.step}, run.started)
        run = run._replace(run_id=stored.run_id)
        save_unsent(folder, run)  # so that an interruption does not create a second run
    for call in run.calls:
        try:
            getattr(stored, call.method)(*call.arguments)
        except Exception as error:
            if not is_refused(error):
                raise


def _read(file: Path) -> UnsentRun | None:
    """What `save_unsent` wrote to `file`; None if it is something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return UnsentRun(**content | {"calls": [UnsentCall(*call) for call in content["calls"]]})
    except (FileNotFoundError, LookupError, TypeError, ValueError):
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether this is the only process that sends what is in `folder`; the system removes the lock of a process that dies."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = True
    except OSError:  # another process has the lock, or the file system has none
        locked = False
    try:
        yield locked
    finally:
        os.close(descriptor)
