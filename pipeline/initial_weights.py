"""Initial weights in the pipeline: the first task resolves their version, and each training fetches exactly this version.

The resolved version is a parameter of the trainings and thereby part of their cache key. The stage `fetch_weights` has no task,
because its artifact would be one more copy of the weights in each run.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from components.fetch_weights.registered import fetch_version, resolve_version
from components.params.values import is_model_uri
from components.prepare_data.data_source import check_remote, fetch_data, resolve_source
from components.shared.initial_weights import check_file, copy_weights
from kd.errors import InputError
from pipeline.recorded_source import recorded_source

ROLES = {"train_teacher": "teacher", "train_baseline": "student", "distill_student": "student"}
"""The trainings, and the section of the parameters with the network that they train."""


def resolve_weights(init: str, repo: str, rev: str) -> str:
    """Resolve the version of the weights `init`, without a download.

    Args:
        init: address in the model registry, file tracked by DVC in `repo`, or, without `repo`, on this machine; "" for random weights.
        repo: address of a git repository, or its folder; "" for none.
        rev: commit, tag or branch; "" for the newest commit.

    Returns:
        "" for random weights, else JSON with `init` and the version of its content.

    Raises:
        InputError: if there are no such weights, or a file is not tracked.
    """
    if not init:
        return ""
    if is_model_uri(init):
        version = resolve_version(init)
    else:
        if not repo:
            check_file(Path(init))
        source = resolve_source(init, repo, rev)
        if source.version.endswith(".dir"):  # DVC's mark of a folder
            raise InputError(init, "is a folder, not a file", "set init to the path of a file that DVC tracks")
        check_remote(source)
        version = source.version
    return json.dumps({"init": init, "version": version})


@contextmanager
def fetched_weights(step: str, resolved: str) -> Iterator[dict[str, Path]]:
    """Provide the argument `weights` of a training: a folder with the weights of this version; {} for random weights.

    Args:
        step: the training.
        resolved: what `resolve_weights` returned.

    Raises:
        InputError: if the file changed in the meantime, or cannot be downloaded.
    """
    if not resolved:
        yield {}
        return
    with TemporaryDirectory(prefix="kdflow-weights-") as temporary:
        folder = Path(temporary)
        _fetch(folder / ROLES[step], **json.loads(resolved))
        yield {"weights": folder}


def _fetch(folder: Path, init: str, version: str) -> None:
    if is_model_uri(init):
        fetch_version(folder, init, version)
        return
    source = resolve_source(init, *recorded_source())
    if source.version != version:
        raise InputError(init, f"changed from {version} to {source.version} while the pipeline ran", "start the pipeline again")
    with fetch_data(source) as file:
        copy_weights(folder, init, file)
