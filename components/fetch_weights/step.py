"""The step `fetch_weights`: bring the initial weights of the trainings to where their stages depend on them."""

from pathlib import Path

from components.params.models import Params
from components.runtime.outputs import OUTPUTS
from components.runtime.tracking import Run
from components.shared.initial_weights import write_weights
from kd.errors import InputError


def fetch_weights(params: Params, run: Run, output: Path = Path("outputs/fetch_weights")) -> None:
    """Copy the files in `teacher.init` and `student.init` to `teacher/` and `student/`.

    A stage of DVC cannot depend on a parameter that may be empty or an address. So the trainings depend on these folders, and this
    stage runs every time: a new content of a file makes them train again.

    Raises:
        InputError: if a file is missing, or in the output of a step.
    """
    for role, section in (("teacher", params.teacher), ("student", params.student)):
        if section.init:
            _check_stays(section.init)
        write_weights(output / role, section.init)


def _check_stays(init: str) -> None:
    """Refuse what the steps replace: the training would start again from its own result each time."""
    if any(Path(init).resolve().is_relative_to(Path("outputs", step).resolve()) for step in OUTPUTS):
        raise InputError(init, "is in the output of a step, which replaces it", "copy it to another folder, and set init to the copy")
