"""Readers for the output of `prepare_data`."""

import json
from pathlib import Path
from typing import Any


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file, by its path relative to `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def annotations(prepared: Path, split: str) -> Any:
    return json.loads((prepared / split / "annotations.json").read_text())


def summary(prepared: Path) -> Any:
    return json.loads((prepared / "summary.json").read_text())
