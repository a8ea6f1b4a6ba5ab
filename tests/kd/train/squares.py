"""A tiny data set that can be learnt in seconds: red and blue squares on noise, prepared as prepare_data leaves it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kd.data.augment import AugmentConfig
from kd.model.build import Network
from kd.model.distributed import Processes
from kd.model.spec import Architecture, ModelSpec
from kd.train.config import TrainConfig
from kd.train.engine import BuildDistillation, EpochMetrics, train
from tests.packed import pack

SIDE = 64
CLASSES = ("red", "blue")
COLORS = ((220, 30, 30), (30, 30, 220))
ANCHORS = {
    "yolov3": {
        8: [(8.0, 8.0), (10.0, 10.0), (12.0, 12.0)],
        16: [(14.0, 14.0), (17.0, 17.0), (20.0, 20.0)],
        32: [(24.0, 24.0), (28.0, 28.0), (36.0, 36.0)],
    },
    "yolov3-tiny": {16: [(10.0, 10.0), (14.0, 14.0), (18.0, 18.0)], 32: [(22.0, 22.0), (28.0, 28.0), (36.0, 36.0)]},
}


def write_squares(folder: Path, train: int = 8, val: int = 3, side: int = SIDE) -> Path:
    """Write the splits and the summary; equal arguments give equal bytes."""
    for seed, (split, count) in enumerate({"train": train, "val": val, "test": 2}.items()):
        _write_split(folder / split, count, np.random.default_rng(seed), side)
    anchors = {name: {str(stride): shapes for stride, shapes in groups.items()} for name, groups in ANCHORS.items()}
    summary = {"classes": CLASSES, "anchors": anchors, "image_size": side, "digest": f"squares {train} {val} {side}"}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def spec_for(architecture: Architecture = "yolov3-tiny", side: int = SIDE) -> ModelSpec:
    """The smallest network of its kind for the squares."""
    return ModelSpec(architecture, 0.0625, 0.1, CLASSES, ANCHORS[architecture], side)


@dataclass(frozen=True)
class Job:
    """A training of the student on the squares in `data`."""

    data: Path
    checkpoint: Path
    config: TrainConfig
    augment: AugmentConfig
    seed: int = 0

    def run(
        self,
        processes: Processes,
        distill: BuildDistillation | None = None,
        on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None,
    ) -> tuple[Network, list[EpochMetrics]]:
        return train(spec_for(), self.data, self.config, self.augment, self.seed, self.checkpoint, processes, distill, on_epoch)


def job(folder: Path, checkpoint: Path, epochs: int, augment: AugmentConfig | None = None, seed: int = 0, **settings: Any) -> Job:
    """A training with small batches and float32."""
    config = TrainConfig(epochs, **{"batch": 4, "warmup_epochs": 0.0, "lr": 5e-3, "precision": "fp32", "evaluate_every": 2} | settings)
    return Job(folder, checkpoint, config, augment or AugmentConfig(), seed)


def _write_split(folder: Path, count: int, rng: np.random.Generator, side: int) -> None:
    (folder / "images").mkdir(parents=True)
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": i, "name": n} for i, n in enumerate(CLASSES, 1)]}
    for picture in range(1, count + 1):
        pixels = rng.integers(90, 160, (side, side, 3), dtype=np.uint8)
        for label, corner in ((picture % 2, 0), ((picture // 2) % 2, side // 2)):
            size = int(rng.integers(12, side // 2))
            x, y = (corner + int(rng.integers(0, side // 2 - size + 1)) for _ in range(2))
            pixels[y : y + size, x : x + size] = COLORS[label]
            row = {"id": len(truth["annotations"]) + 1, "image_id": picture, "category_id": label + 1}
            truth["annotations"].append(row | {"bbox": [x, y, size, size], "area": size**2, "iscrowd": 0})
        Image.fromarray(pixels).save(folder / "images" / f"{picture}.png")
        truth["images"].append({"id": picture, "file_name": f"{picture}.png", "width": side, "height": side})
    (folder / "annotations.json").write_text(json.dumps(truth))
    pack(folder)
