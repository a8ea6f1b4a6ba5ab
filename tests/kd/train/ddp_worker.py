"""What each process of test_ddp runs under torchrun: a distillation on the squares. It writes what it observed to files named by rank."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from kd.data.augment import AugmentConfig
from kd.data.batch import Batch
from kd.data.dataset import DetectionData
from kd.data.loader import TrainingDataset, training_loader
from kd.data.sampler import EpochBatchSampler
from kd.detection.decode import flatten_heads
from kd.detection.evaluate import NMSConfig, score_detector
from kd.detection.loss import DetectionLoss
from kd.distillation.loss import DistillConfig
from kd.distillation.setup import build_distillation
from kd.files import digest_json
from kd.model.build import build_model
from kd.model.distributed import Processes, init_distributed
from kd.train import engine
from kd.train.checkpoint import Parts
from kd.train.ema import ModelEMA
from tests.kd.train.squares import SIDE, job, spec_for

EPOCHS, BATCH = 3, 4
Gradient = dict[str, torch.Tensor]


def first_gradient(squares: Path, maps: Path, processes: Processes) -> Gradient:
    """The gradient of a distillation on the first batch, of student and adapters, averaged over the processes."""
    spec, teacher_spec = spec_for(), spec_for("yolov3")
    data = DetectionData(squares / "train", SIDE)
    batches = EpochBatchSampler(len(data), BATCH, 1, processes.rank, processes.world_size)
    network = build_model(spec).train()
    distillation = build_distillation(
        build_model(teacher_spec, 5).eval(), teacher_spec, DistillConfig(), maps, network, spec, len(data), None, 0
    )
    batch = next(iter(training_loader(TrainingDataset(data, AugmentConfig(), 1, 0, distillation.stored_maps), batches))).augment()
    student, distill_loss = processes.wrap(network), processes.wrap(distillation.loss)  # both average as long as they live
    teacher_output = distillation.teacher(batch.pictures, distillation.strides)
    output = student(batch.pictures)
    predictions = flatten_heads(output.heads, spec.anchors)
    terms = distill_loss(output, predictions, teacher_output, batch.maps, batch, 0.0) | DetectionLoss(spec.anchors)(predictions, batch)
    torch.stack(list(terms.values())).sum().backward()
    parts = {"student": network, "loss": distillation.loss}
    return {f"{part}.{name}": p.grad for part, module in parts.items() for name, p in module.named_parameters() if p.grad is not None}


def weights_digest(network: torch.nn.Module) -> str:
    return digest_json([parameter.detach().flatten().tolist() for parameter in network.parameters()])


@contextmanager
def observed(writes: list[str], weights: list[str], sides: list[int]) -> Iterator[None]:
    """Record each checkpoint that is written, the weights after each step, and the size of its pictures."""
    save, update, resize = engine.save_checkpoint, ModelEMA.update, engine.resize_batch

    def recorded_save(path: Path, state: dict) -> None:
        writes.append(path.name)
        save(path, state)

    def recorded_update(self: ModelEMA, network: torch.nn.Module, step: int) -> None:
        weights.append(weights_digest(network))
        update(self, network, step)

    def recorded_resize(batch: Batch, side: int) -> Batch:
        sides.append(side)
        return resize(batch, side)

    patches = {"save_checkpoint": recorded_save, "resize_batch": recorded_resize}
    with patch.multiple(engine, **patches), patch.object(ModelEMA, "update", recorded_update):
        yield


def resume_and_delete(squares: Path, checkpoint: Path, settings: dict[str, Any], processes: Processes) -> list[float]:
    """The epochs of a finished training that is resumed; the main process deletes its checkpoint, and the other reads it late."""
    restore = engine.restore_checkpoint

    def restore_late(path: Path, parts: Parts) -> list[engine.EpochMetrics]:
        time.sleep(0 if processes.is_main else 2)
        return restore(path, parts)

    with patch.object(engine, "restore_checkpoint", restore_late):
        _, history = job(squares, checkpoint, EPOCHS, **settings).run(processes)
    if processes.is_main:
        checkpoint.unlink()
    return [row["epoch"] for row in history]


def main(squares: Path, maps: Path, out: Path) -> None:
    spec, reported, writes, weights = spec_for("yolov3"), [], [], []
    distill = partial(build_distillation, build_model(spec, 5).eval(), spec, DistillConfig(), maps)
    sides: list[int] = []
    with init_distributed() as processes, observed(writes, weights, sides):
        network, history = job(squares, out / "run.pt", EPOCHS, AugmentConfig(multi_scale=0.5)).run(
            processes, distill, lambda row: reported.append(row["epoch"])
        )
        settings = {"patience": 1, "keep_epoch": "best", "evaluate_every": 1, "lr": 1e-12}  # the score does not rise
        best, stopped = job(squares, out / "stopped.pt", EPOCHS, **settings).run(processes)
        resumed = resume_and_delete(squares, out / "stopped.pt", settings, processes)
        val = score_detector(network, spec_for().anchors, DetectionData(squares / "val", SIDE), NMSConfig()).map50
        found = {
            "reported": reported,
            "writes": writes,
            "weights": weights,
            "history": history,
            "val": val,
            "sides": sides,
            "stopped": stopped,
            "best": weights_digest(best),
            "resumed": resumed,
        }
        (out / f"{processes.rank}.json").write_text(json.dumps(found))
        torch.save(first_gradient(squares, maps, processes), out / f"{processes.rank}.gradient")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
