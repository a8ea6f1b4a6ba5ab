"""Initial weights from the model registry, at an address like `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

An address that ends with a `?` stands for random weights as long as there is no such version.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from components.params.models import parse_address
from components.register_model.registry import MODEL, Registry
from components.shared.initial_weights import write_weights
from kd.errors import printable


def resolve_version(init: str) -> str:
    """The number of the version at the address `init`; "" if there is none yet and the address ends with a `?`.

    Raises:
        InputError: if there is none, or the registry fails.
    """
    name, version, optional = parse_address(init)
    registry = Registry(name)
    if optional and not any(version in (known.number, *known.aliases) for known in registry.versions()):
        return ""
    return registry.version(version).number


def fetch_version(folder: Path, init: str, number: str) -> None:
    """Write the model.safetensors of version `number` of the model at the address `init` to `folder`; none if `number` is "".

    Raises:
        InputError: if the version has none, its files are not the registered ones, or the registry fails.
    """
    if not number:
        print(printable(f"{init}: there is none yet; the training starts from random weights"), file=sys.stderr)
        write_weights(folder, init, None)
        return
    registry = Registry(parse_address(init)[0])
    with TemporaryDirectory() as temporary:
        file = Path(temporary) / MODEL
        file.write_bytes(registry.read_model(registry.version(number)))
        write_weights(folder, init, file, f"models:/{registry.name}/{number}")
