"""The folder with pictures without labels."""

from pathlib import Path

from kd.errors import InputError


def check_unlabelled(folder: Path) -> Path:
    """The folder itself.

    Raises:
        InputError: if it is missing or no folder.
    """
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "is missing"
        remedy = "name the folder with the pictures without labels; `dvc pull` downloads one that DVC tracks; '' is for none"
        raise InputError("data.unlabelled", f"'{folder}' {problem}", remedy)
    return folder
