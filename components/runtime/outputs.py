"""Which folders a step may write its output to: a step replaces the whole folder, so it must not hold anything else."""

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from kd.errors import InputError
from kd.files import check_writable

TRAINED = ("history.csv", "model.safetensors")
OUTPUTS = {
    "compose_scenes": (".compose_scenes.json", "train", "test"),
    "resolve_unlabelled": ("version.json",),
    "prepare_data": ("summary.json", "preview.jpg", "train", "val", "test", "unlabelled"),
    "fetch_weights": ("teacher", "student"),
    "train_teacher": TRAINED,
    "train_baseline": TRAINED,
    "compute_info_maps": ("index.json", "*.npy"),
    "distill_student": TRAINED,
    "evaluate": ("metrics.json", "learning_curves.csv", "losses.csv", "per_class.csv", "precision_recall.csv", "report.html"),
    "register_model": ("decision.json", "student.onnx"),
}
"""What each step writes. A folder that contains the first of these names, and no other names, is an output of the step."""
IGNORED = (".gitignore",)
"""DVC writes it next to outputs."""


def check_output(step: str, output: Path, inputs: Mapping[str, Path]) -> None:
    """Check that `step` may replace the folder `output`.

    Args:
        step: the step's name.
        output: the folder; it need not exist.
        inputs: what the step reads, by its name in messages.

    Raises:
        InputError: if `output` is not a folder or cannot be written, contains or is in an input, or contains anything but a former
            output of the step.
    """
    if not output.name:
        raise InputError("--output", f"'{output}' names no folder of its own", "give the name of a folder, such as outputs/mine")
    if os.path.lexists(output) and not output.is_dir():
        raise InputError(output, "is a file, not a folder", "choose another --output")
    check_writable(output, "--output")
    for name, path in inputs.items():
        _check_apart(output, name, path)
    _check_replaceable(step, output)


def _check_apart(output: Path, name: str, path: Path) -> None:
    written, read = output.resolve(), path.resolve()
    if written == read:
        raise InputError(output, f"is also the input {name}, which would be replaced", "choose another --output")
    if read.is_relative_to(written):
        raise InputError(output, f"contains the input {name} ({path}), which would be deleted", "choose another --output")
    if written.is_relative_to(read):
        raise InputError(output, f"is inside the input {name} ({path})", "choose another --output")


def _check_replaceable(step: str, output: Path) -> None:
    names = sorted({path.name for path in output.iterdir()} - set(IGNORED)) if output.is_dir() else []
    mark, *_ = patterns = OUTPUTS[step]
    foreign = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)]
    if names and (foreign or mark not in names):
        problem = f"contains {foreign[0]}, which {step} did not write" if foreign else f"was not written by {step} (it has no {mark})"
        raise InputError(output, f"{problem}, and would be replaced as a whole", "choose another --output, or empty the folder")
