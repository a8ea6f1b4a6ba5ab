"""The weights that a training starts from, in a folder: a copy of the file, and the parameter that names it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from kd.errors import InputError
from kd.files import digest, read_json, write_json

SOURCE = "source.json"


@dataclass(frozen=True)
class InitialWeights:
    """The parameter `init`, or the address of the version that it referred to, the file with the weights, and its SHA-256."""

    init: str
    file: Path
    sha256: str


def copy_weights(folder: Path, init: str, file: Path | None, version: str = "") -> None:
    """Copy the weights `init` to `folder`, beside the JSON file `SOURCE`, which names them.

    Args:
        folder: is created.
        init: the parameter.
        file: the weights; None for random weights.
        version: the address of the version that `init` refers to; "" if it is a file.

    Raises:
        InputError: if the file is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {"init": init}
    if file:
        is_model = version or init.endswith(".safetensors")
        content |= {"file": "weights.safetensors" if is_model else "weights", "source": version or init}
        shutil.copyfile(check_file(file), folder / content["file"])
        content["sha256"] = digest(folder / content["file"])
    write_json(folder / SOURCE, content)


def find_weights(init: str, folder: Path | None) -> InitialWeights | None:
    """The weights `init` in the `folder` that `copy_weights` wrote, or, without a folder, in the file `init`; None for random weights.

    Raises:
        InputError: if the file is missing, or the folder has other weights.
    """
    if not init:
        return None
    if folder is None:
        return InitialWeights(init, check_file(Path(init)), digest(Path(init)))
    content = _read_source(folder / SOURCE)
    if content.get("init") != init:
        raise InputError(folder, f"does not have the weights '{init}'", "run `python -m components.fetch_weights` with the same parameters")
    return InitialWeights(content["source"], folder / content["file"], content["sha256"]) if "file" in content else None


def _read_source(file: Path) -> dict[str, str]:
    """What `copy_weights` wrote to `file`; empty if the file is missing or was changed by hand."""
    content = read_json(file) if file.is_file() else {}
    written = isinstance(content, dict) and set(content) in ({"init"}, {"init", "file", "source", "sha256"})
    return content if written and all(isinstance(value, str) for value in content.values()) else {}


def check_file(file: Path) -> Path:
    """The file itself.

    Raises:
        InputError: if it is missing, a folder or a device.
    """
    if not file.is_file():
        problem = f"is a {'folder' if file.is_dir() else 'device'}, not a file" if file.exists() else "is missing"
        raise InputError(file, problem, "set init to the path of a .safetensors or .weights file, or to ''")
    return file
