"""Record the digests of a version that an older release registered, after its ONNX file was compared with the recorded one."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from components.register_model.integrity import FILES_TAG, PREPROCESSING, PREPROCESSING_TAG, RESTORE, file_digests
from components.register_model.journal import current_user
from components.register_model.registry import CONTENT_TAG, Registry, Version
from kd.errors import InputError

SEALED_TAG = "kdflow.sealed"


def seal(registry: Registry, version: Version, reason: str) -> int:
    """Record the SHA-256 of every file of `version` as it is now, with the user and the reason. Returns the number of files.

    Only the ONNX file can be checked. All releases without digests have the preprocessing format "1".

    Raises:
        InputError: if digests are recorded already, the ONNX file is not the registered one, or one is a symbolic link.
    """
    name = f"{registry.name} version {version.number}"
    if FILES_TAG in version.tags:
        raise InputError(name, "has digests already", f"`kdflow registry verify {version.number}` compares its files with them")
    with TemporaryDirectory() as folder:
        digests = file_digests(registry.download(version.number, Path(folder)))
    networks, recorded = {file: digests[file] for file in digests if file.endswith(".onnx")}, version.tags.get(CONTENT_TAG, "nothing")
    if list(networks.values()) != [recorded]:
        found = ", ".join(f"{file!r} with SHA-256 {value}" for file, value in networks.items()) or "none"
        problem = f"its ONNX file is not the registered one (found: {found}; registered: {recorded})"
        raise InputError(name, problem, RESTORE)
    tags = {PREPROCESSING_TAG: PREPROCESSING, SEALED_TAG: f"{current_user()}: {reason}", FILES_TAG: json.dumps(digests, sort_keys=True)}
    registry.set_tags(version.number, tags)
    return len(digests)
