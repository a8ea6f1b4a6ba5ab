"""Initial weights from the model registry, at an address like `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

An address that ends with a `?` stands for random weights as long as there is no such version.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from components.params.values import parse_model_uri
from components.register_model.registered_files import read_safetensors
from components.register_model.registry import MODEL, Registry
from components.shared.initial_weights import copy_weights
from kd.errors import InputError, printable


def resolve_version(init: str) -> str:
    """The number of the version at the address `init`; "" if there is none yet and the address ends with a `?`.

    Raises:
        InputError: if there is none, or the registry fails.
    """
    name, version, optional = parse_model_uri(init)
    found = [known.number for known in Registry(name).versions() if version in (known.number, *known.aliases)]
    if not found and not optional:
        remedy = f"correct init (`kdflow registry --model {name} list` lists the versions), or add a ? for random weights until it exists"
        raise InputError(init, "does not exist in the registry", remedy)
    return found[0] if found else ""


def fetch_version(folder: Path, init: str, number: str) -> None:
    """Copy the model.safetensors of version `number` at the address `init` to `folder`; "" stands for random weights.

    Raises:
        InputError: if the version has none, its files are not the registered ones, or the registry fails.
    """
    if not number:
        print(printable(f"{init}: there is none yet; the training starts from random weights"), file=sys.stderr)
        copy_weights(folder, init, None)
        return
    registry = Registry(parse_model_uri(init)[0])
    with TemporaryDirectory() as temporary:
        file = Path(temporary) / MODEL
        file.write_bytes(read_safetensors(registry, registry.version(number)))
        copy_weights(folder, init, file, f"models:/{registry.name}/{number}")
