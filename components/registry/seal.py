"""Record what a registered version is verified with: the digests of its files if an older release registered it, and its signature."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from components.register_model.integrity import FILES_TAG, PREPROCESSING, PREPROCESSING_TAG, RESTORE, file_digests, verify_copy
from components.register_model.journal import current_user
from components.register_model.registered_files import download_files
from components.register_model.registry import CONTENT_TAG, Registry, Version
from components.register_model.signing import KEY_VARIABLE, sign
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
        digests = file_digests(download_files(registry, version.number, Path(folder)))
    networks, recorded = {file: digests[file] for file in digests if file.endswith(".onnx")}, version.tags.get(CONTENT_TAG, "nothing")
    if list(networks.values()) != [recorded]:
        found = ", ".join(f"{file!r} with SHA-256 {value}" for file, value in networks.items()) or "none"
        problem = f"its ONNX file is not the registered one (found: {found}; registered: {recorded})"
        raise InputError(name, problem, RESTORE)
    tags = {PREPROCESSING_TAG: PREPROCESSING, SEALED_TAG: f"{current_user()}: {reason}", FILES_TAG: json.dumps(digests, sort_keys=True)}
    registry.set_tags(version.number, {**sign(registry.name, {**version.tags, **tags}), **tags})
    return len(digests)


def sign_version(registry: Registry, version: Version) -> None:
    """Sign the recorded digests of `version` with the key in `KDFLOW_SIGNING_KEY`, after its files were compared with them.

    Raises:
        InputError: if there is no such key, or it is not that of `register_model.public_key`.
        ChangedFiles: if the files differ from the digests.
    """
    name = f"{registry.name} version {version.number}"
    with TemporaryDirectory() as folder:
        verify_copy(name, download_files(registry, version.number, Path(folder)), version.tags)
    signature = sign(registry.name, version.tags)
    if not signature:
        raise InputError(KEY_VARIABLE, "is not set", "set it to the file with the private key")
    registry.check_signature(name, {**version.tags, **signature})
    registry.set_tags(version.number, signature)
