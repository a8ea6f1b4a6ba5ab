"""A small data set on disk, and a network that detects the same box in every picture."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from kd.model.build import Network, build_model
from kd.model.spec import ModelSpec
from kd.model.store import save_model
from tests.packed import pack

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

ANCHORS = {16: [(4.0, 4.0), (8.0, 8.0), (12.0, 12.0)], 32: [(20.0, 10.0), (16.0, 16.0), (28.0, 28.0)]}
Objects = list[tuple[int, float, float, float, float]]


@pytest.fixture
def spec() -> ModelSpec:
    return ModelSpec("yolov3-tiny", 0.125, 1.0, ("cat", "dog"), ANCHORS, 32)


@pytest.fixture
def confident_network(spec: ModelSpec) -> Network:
    """Detects one dog of 20 x 10 pixels in the center of the square of 32 pixels, for every picture."""
    network = build_model(spec)
    with torch.no_grad():
        for head in (network.head_16, network.head_32):
            head.weight.zero_()
            head.bias.fill_(0.0)
            head.bias.view(3, -1)[:, 4] = -20.0
        network.head_32.bias.view(3, -1)[0] = torch.tensor([0.0, 0.0, 0.0, 0.0, 20.0, -20.0, 2.0])
    return network


@pytest.fixture
def model_file(tmp_path: Path, confident_network: Network, spec: ModelSpec) -> Path:
    save_model(tmp_path / "model" / "model.safetensors", confident_network, spec)
    return tmp_path / "model" / "model.safetensors"


@pytest.fixture
def write_split(tmp_path: Path) -> Callable[..., Path]:
    """Write a split of noise pictures: (width, height, objects as label, x, y, w, h) a picture."""

    def write(pictures: list[tuple[int, int, Objects]], name: str = "train") -> Path:
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        rng = np.random.default_rng(0)
        annotations: dict = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}
        for index, (width, height, objects) in enumerate(pictures):
            Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / "images" / f"{index}.png")
            annotations["images"].append({"id": 10 + index, "file_name": f"{index}.png", "width": width, "height": height})
            for label, x, y, w, h in objects:
                row = {"id": len(annotations["annotations"]) + 1, "image_id": 10 + index, "category_id": label + 1}
                annotations["annotations"].append(row | {"bbox": [x, y, w, h], "area": w * h, "iscrowd": 0})
        (folder / "annotations.json").write_text(json.dumps(annotations))
        return pack(folder)

    return write
