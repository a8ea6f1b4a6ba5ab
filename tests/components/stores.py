"""New MLflow stores, quickly: making the tables takes longer than most tests."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from mlflow import MlflowClient

_FOLDER = tempfile.TemporaryDirectory()


def new_store(folder: Path) -> None:
    """Put an empty store where `components.tracking` looks for it in the working folder `folder`."""
    shutil.copyfile(_empty(), folder / "mlflow.db")


@cache
def _empty() -> Path:
    file = Path(_FOLDER.name) / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file
