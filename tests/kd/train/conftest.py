"""The squares on disk, and a teacher for them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from kd.data.dataset import DetectionData
from kd.distillation.compute_maps import letterboxed_batches, write_info_maps
from kd.distillation.loss import DistillConfig
from kd.distillation.setup import build_distillation
from kd.model.build import Network, build_model
from kd.model.distributed import Processes
from kd.train.engine import BuildDistillation
from tests.kd.train.squares import SIDE, spec_for, write_squares

Distill = Callable[..., BuildDistillation]


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture
def single() -> Processes:
    """This process only, on the CPU."""
    return Processes(0, 1, torch.device("cpu"))


@pytest.fixture(scope="session")
def teacher(squares: Path) -> Network:
    """An untrained teacher whose batch normalization has seen the pictures."""
    network = build_model(spec_for("yolov3"), 5).train()
    with torch.no_grad():
        for batch in letterboxed_batches(DetectionData(squares / "train", SIDE), 8, torch.device("cpu"), ""):
            network(batch.pictures)
    return network.eval()


@pytest.fixture(scope="session")
def maps(squares: Path, teacher: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What compute_info_maps writes for the squares."""
    folder = tmp_path_factory.mktemp("maps")
    write_info_maps(teacher, spec_for("yolov3"), DetectionData(squares / "train", SIDE), "activation", 8, folder, {})
    return folder


@pytest.fixture(scope="session")
def distill(teacher: Network, maps: Path) -> Distill:
    """What builds a distillation with these settings."""
    return lambda live=False, **settings: partial(
        build_distillation, teacher, spec_for("yolov3"), DistillConfig(**settings), maps, live=live
    )
