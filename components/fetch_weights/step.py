"""The step `fetch_weights`: copy the initial weights of the trainings to the folders that their DVC stages depend on."""

from pathlib import Path

from components.params.models import Params
from components.params.values import is_model_uri
from components.runtime.outputs import OUTPUTS
from components.runtime.tracking import Run
from components.shared.initial_weights import check_file, copy_weights
from kd.errors import InputError


def fetch_weights(params: Params, run: Run, output: Path = Path("outputs/fetch_weights")) -> None:
    """Copy the weights `teacher.init` and `student.init` to `teacher/` and `student/`.

    A stage of DVC cannot depend on a parameter that may be empty or an address. So the trainings depend on these folders, and this
    stage runs every time: they train again if the content of a file changes, or an alias moves to another version.

    Raises:
        InputError: if a file is missing or in the output of a step, or a registered model cannot be read.
    """
    for role, section in (("teacher", params.teacher), ("student", params.student)):
        if is_model_uri(section.init):
            from components.fetch_weights.registered import fetch_version, resolve_version  # imports MLflow

            fetch_version(output / role, section.init, resolve_version(section.init))
        else:
            _check_not_replaced(section.init)
            copy_weights(output / role, section.init, Path(section.init) if section.init else None)


def _check_not_replaced(init: str) -> None:
    """Refuse a file in the output of a step: each training would start from the result of the last one."""
    if init and any(check_file(Path(init)).resolve().is_relative_to(Path("outputs", step).resolve()) for step in OUTPUTS):
        raise InputError(init, "is in the output of a step, which replaces it", "copy it to another folder, and set init to the copy")
