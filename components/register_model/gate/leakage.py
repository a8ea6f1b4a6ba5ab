"""The test pictures that registered models were trained on."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from components.register_model.integrity import FILES_TAG
from components.register_model.registered_files import read_safetensors
from components.register_model.registry import MODEL, Registry, Version
from components.shared.training_pictures import leaked_pictures
from kd.model.store import load_training_pictures


def find_leakage(registry: Registry, version: Version, data: Path) -> list[str]:
    """The names of the test pictures that a version was trained on. Empty if an older release registered it, which did not record them.

    Raises:
        InputError: if the files of the version are not the registered ones, or the registry fails.
    """
    if MODEL not in json.loads(version.tags.get(FILES_TAG, "{}")):
        return []
    with TemporaryDirectory() as folder:
        file = Path(folder) / MODEL
        file.write_bytes(read_safetensors(registry, version))
        return leaked_pictures(data, load_training_pictures(file))
