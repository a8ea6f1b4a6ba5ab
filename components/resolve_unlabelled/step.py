"""The step `resolve_unlabelled`: the version of the pictures without labels, which the DVC stage of prepare_data depends on."""

from pathlib import Path

from components.params.models import Params
from components.runtime.tracking import Run
from components.shared.unlabelled import check_unlabelled
from kd.files import digest, write_json


def resolve_unlabelled(params: Params, run: Run, output: Path = Path("outputs/resolve_unlabelled")) -> None:
    """Write the SHA-256 of the folder `data.unlabelled` to version.json; it is "" if there is no such folder.

    A stage of DVC cannot depend on a parameter that may be empty. So `prepare_data` depends on this file, and this stage runs every
    time: the pictures are prepared again if the content of the folder changes.

    Raises:
        InputError: if the folder is missing.
    """
    path = params.data.unlabelled
    write_json(output / "version.json", {"sha256": digest(check_unlabelled(Path(path))) if path else ""})
