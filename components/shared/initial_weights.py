"""The weights that a training starts from, in a folder: a copy of the file, and the parameter that names it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from kd.errors import InputError
from kd.files import digest, read_json, write_json

SOURCE = "source.json"


@dataclass(frozen=True)
class InitialWeights:
    """The parameter `init`, the file with the weights, and its SHA-256."""

    init: str
    file: Path
    sha256: str

    def tags(self) -> dict[str, str]:
        """What the model's metadata and the tags of its run record."""
        return {"init": self.init, "init_digest": self.sha256}


def write_weights(folder: Path, init: str, file: Path | None = None) -> None:
    """Copy the weights to `folder`, with the JSON file SOURCE. Without weights, SOURCE is the only file.

    Args:
        folder: is created.
        init: the parameter; "" for random weights.
        file: where the weights are; None if `init` is the path.

    Raises:
        InputError: if the file is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {"init": init}
    if init:
        content["file"] = f"weights{'.safetensors' if init.endswith('.safetensors') else ''}"
        shutil.copyfile(check_file(file or Path(init)), folder / content["file"])
        content["sha256"] = digest(folder / content["file"])
    write_json(folder / SOURCE, content)


def find_weights(init: str, folder: Path | None) -> InitialWeights | None:
    """The weights `init` in the `folder` that `write_weights` wrote, or, without a folder, in the file itself; None if `init` is "".

    Raises:
        InputError: if the file is missing, or the folder has other weights.
    """
    if not init:
        return None
    if folder is None:
        return InitialWeights(init, check_file(Path(init)), digest(Path(init)))
    content = read_json(folder / SOURCE) if (folder / SOURCE).is_file() else {}
    if content.get("init") != init:
        raise InputError(folder, f"does not have the weights '{init}'", "run `python -m components.fetch_weights` with the same parameters")
    return InitialWeights(init, folder / content["file"], content["sha256"])


def check_file(file: Path) -> Path:
    """The file itself.

    Raises:
        InputError: if it is missing or a folder.
    """
    if not file.is_file():
        problem = "is a folder, not a file" if file.is_dir() else "is missing"
        raise InputError(file, problem, "set init to the path of a .safetensors or .weights file, or to ''")
    return file
