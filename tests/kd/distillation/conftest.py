"""A teacher and a student whose untrained features vary, and a batch of pictures with squares."""

from pathlib import Path

import pytest
import torch
from torch import nn

from kd.data.batch import Batch
from kd.data.dataset import DetectionData
from kd.distillation.compute_maps import letterboxed_batches
from kd.model.build import Network, build_model
from kd.model.spec import Architecture, ModelSpec
from tests.kd.train.squares import spec_for, write_squares


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="session")
def split(squares: Path) -> DetectionData:
    return DetectionData(squares / "train", spec_for().image_size)


@pytest.fixture(scope="session")
def batch(split: DetectionData) -> Batch:
    """All eight training pictures."""
    return next(iter(letterboxed_batches(split, len(split), torch.device("cpu"), "")))


@pytest.fixture
def teacher_spec() -> ModelSpec:
    return spec_for("yolov3")


@pytest.fixture
def teacher(batch: Batch) -> Network:
    network = untrained("yolov3", batch, seed=1)
    for level in network.levels.values():
        nn.init.constant_(level.head.bias, 1.0)  # detects something in any picture
    return network


@pytest.fixture
def student(batch: Batch) -> Network:
    return untrained("yolov3-tiny", batch, seed=2).train()


def untrained(architecture: Architecture, batch: Batch, seed: int) -> Network:
    """A fresh network whose batch normalization knows the batch, in evaluation mode."""
    network = build_model(spec_for(architecture), seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(batch.pictures)
    return network.eval()
