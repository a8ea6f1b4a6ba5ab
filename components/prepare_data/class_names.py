"""Class names are drawn, printed, and written to files with one name per line."""

from collections.abc import Sequence
from pathlib import Path

from kd.errors import UNPRINTABLE, InputError


def check_class_names_printable(classes: Sequence[str], folder: Path) -> None:
    """Raise `InputError` for the first class name in the dataset `folder` with a control character, or one that turns text around."""
    for name in classes:
        if match := UNPRINTABLE.search(name):
            problem = f"the class name '{name}' contains the control character U+{ord(match[0]):04X}"
            raise InputError(folder, problem, "rename the class in the labels")
