"""The squares on disk, and trainings of them in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kd.data.dataset import DetectionData
from kd.distillation.compute_maps import letterboxed, write_info_maps
from kd.distillation.loss import Distill
from kd.model.build import build_model
from kd.train.distributed import Group
from kd.train.fit import Lesson
from tests.kd.train.squares import SIDE, spec_for, write_squares


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture
def alone() -> Group:
    """This process without others, on the CPU."""
    return Group(0, 1, torch.device("cpu"))


@pytest.fixture(scope="session")
def lesson(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Lesson]:
    """A lesson with these settings by a teacher that knows nothing yet but has seen the pictures' statistics."""
    maps, spec, data = tmp_path_factory.mktemp("maps"), spec_for("yolov3"), DetectionData(squares / "train", SIDE)
    teacher = build_model(spec, 5).train()
    with torch.no_grad():
        for batch in letterboxed(data, 8, torch.device("cpu"), ""):
            teacher(batch.pictures)
    write_info_maps(teacher, spec, data, "activation", 8, maps, {})
    return lambda live=False, **settings: Lesson(teacher, spec, Distill(**settings), maps, live)
