"""The digests of a version's files, and the check of a local copy against them, which comes before any use of the copy.

The tag `kdflow.files` of a version has the SHA-256 of each of its files. kdflow reads only the ONNX file and runs it with the
code that is installed, so the Python code and the environment files in a version never run here. They are checked all the same,
because `mlflow models serve` and `mlflow.pyfunc` run them.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kd.errors import InputError
from kd.files import digest

FILES_TAG = "kdflow.files"
PREPROCESSING_TAG, PREPROCESSING = "kdflow.preprocessing", "1"
"""The format of a model's input: "1" is an RGB picture in 0..1, letterboxed on grey by `kd.data.letterbox`. Increase it if that changes."""

RESTORE = "restore the file from a backup, and find out who can write to the store"


class ChangedFiles(InputError):
    """The files of a version are not the registered ones, or nobody knows: nothing of them is loaded."""


class VerifiedCopy(NamedTuple):
    """A local copy whose files were compared with the recorded digests.

    Attributes:
        name: the version, for errors.
        folder: the copy.
        digests: SHA-256 by relative path.
    """

    name: str
    folder: Path
    digests: Mapping[str, str]

    def network(self) -> bytes:
        """The content of the ONNX file; see `read`.

        Raises:
            ChangedFiles: if it changed.
            InputError: if there is not exactly one ONNX file.
        """
        files = [file for file in self.digests if file.endswith(".onnx")]
        if len(files) != 1:
            raise InputError(self.name, f"contains {len(files)} ONNX files instead of one", "register the model with kdflow")
        return self.read(files[0])

    def read(self, file: str) -> bytes:
        """The content of a file, which is compared again, because the copy may have changed since the first comparison.

        Raises:
            ChangedFiles: if it changed.
        """
        content = (self.folder / file).read_bytes()
        _compare(self.name, {file: hashlib.sha256(content).hexdigest()}, {file: self.digests[file]})
        return content


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 by relative path of all files below `folder`. A symbolic link has its target instead, as "link to TARGET"."""
    return {path.relative_to(folder).as_posix(): _digest(path) for path in _walk(folder)}


def refuse_links(name: str, folder: Path) -> None:
    """Raise `ChangedFiles` if there is a symbolic link in the store's own `folder` of a version, because a copy hides it."""
    for path in [folder, *_walk(folder)]:
        if path.is_symlink():
            problem = f"file {path.relative_to(folder).as_posix()!r} is a link to {path.readlink()}, so nothing is loaded"
            raise ChangedFiles(name, problem, RESTORE)


def verify_copy(name: str, folder: Path, tags: Mapping[str, str]) -> VerifiedCopy:
    """Compare a local copy with the digests in the tags of its version.

    Args:
        name: the version, for errors.
        folder: the copy.
        tags: the tags of the version.

    Raises:
        ChangedFiles: if a file was changed, added or removed, or no digests are recorded.
    """
    if FILES_TAG not in tags:
        remedy = f"`kdflow registry seal {name.rpartition(' ')[2]} --reason TEXT` records them if its ONNX file is the registered one"
        raise ChangedFiles(name, "has no digests of its files, because an older release registered it", remedy)
    try:
        recorded = dict(json.loads(tags[FILES_TAG]))
    except (TypeError, ValueError, RecursionError):
        raise ChangedFiles(name, f"its tag {FILES_TAG} is not a JSON object", "restore the tag, and find out who changed it") from None
    _compare(name, file_digests(folder), recorded)
    return VerifiedCopy(name, folder, recorded)


def check_preprocessing(name: str, tags: Mapping[str, str]) -> None:
    """Raise an `InputError` if a version was made for another preprocessing than the installed one."""
    if (recorded := tags.get(PREPROCESSING_TAG, "")) != PREPROCESSING:
        problem = f"needs preprocessing format '{recorded}', but this release has '{PREPROCESSING}'"
        raise InputError(name, problem, "use the release that registered it, or train and register the model again")


def _compare(name: str, actual: Mapping[str, str], recorded: Mapping[str, str]) -> None:
    for file in sorted({*actual, *recorded}):
        if actual.get(file) != recorded.get(file):
            found, expected = (f"SHA-256 {of[file]}" if file in of else "no such file" for of in (actual, recorded))
            problem = f"file {file!r} is not the registered one (found: {found}, registered: {expected}), so nothing is loaded"
            raise ChangedFiles(name, problem, RESTORE)


def _walk(folder: Path) -> Iterator[Path]:
    """The files and symbolic links below `folder`; links to folders are not followed."""
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in files)
        yield from (path for path in (Path(parent, name) for name in folders) if path.is_symlink())


def _digest(path: Path) -> str:
    return f"link to {path.readlink()}" if path.is_symlink() else digest(path)
