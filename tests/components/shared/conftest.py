"""Small data, networks and folders for trainings."""

from pathlib import Path

import pytest
import yaml

from components.params.load import load_params
from components.params.models import Params
from kd.errors import InputError
from tests.kd.train.squares import write_squares

ROOT = Path(__file__).parents[3]
EPOCHS = 6
NETWORK = {"width": 0.0625, "depth": 0.1}
TRAIN = {"epochs": EPOCHS, "batch": 4, "warmup_epochs": 0.0, "precision": "fp32", "evaluate_every": 3}


@pytest.fixture
def parameters(tmp_path: Path) -> Path:
    """The committed parameters with tiny networks."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section in ("teacher", "student"):
        content[section] |= NETWORK | {"train": content[section]["train"] | TRAIN}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "params.yaml"


@pytest.fixture
def params(parameters: Path) -> Params:
    return load_params(parameters)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return write_squares(tmp_path / "prepared")


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for the checkpoints of the test."""
    monkeypatch.setenv("KDFLOW_CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path / "checkpoints"


@pytest.fixture
def checkpoint_names(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the checkpoints of trainings, each of which ends with an error instead."""
    names: list[str] = []

    def stop(spec: object, data: object, config: object, augment: object, seed: int, checkpoint: Path, *others: object) -> None:
        names.append(checkpoint.name)
        raise InputError("stop", "stop", "stop")

    monkeypatch.setattr("components.shared.training.train", stop)
    return names


def new_folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name
