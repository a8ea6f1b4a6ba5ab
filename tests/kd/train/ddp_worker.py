"""What each process of test_ddp runs under torchrun: a distillation of the squares; it leaves what it saw as files named by rank."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch

from kd.data.dataset import DetectionData
from kd.data.loader import EpochBatchSampler, TrainingDataset, training_loader
from kd.detection.loss import DetectionLoss
from kd.distillation.loss import Distill
from kd.files import digest_json
from kd.model.build import build_model
from kd.train import loop
from kd.train.distributed import Group, init_distributed
from kd.train.fit import Lesson, fit
from kd.train.objective import Objective
from tests.kd.train.squares import SIDE, job, spec_for

EPOCHS = 3
Gradient = dict[str, torch.Tensor]


def first_gradient(squares: Path, group: Group) -> Gradient:
    """The detection loss's gradient on the first batch, averaged over the group."""
    training, spec = job(squares, Path("unused"), 1), spec_for()
    data = DetectionData(squares / "train", SIDE)
    batches = EpochBatchSampler(len(data), training.training.batch, 0, group.rank, group.world)
    module = Objective(build_model(spec), DetectionLoss(spec.anchors, SIDE), None, None).train()
    batch = next(iter(training_loader(TrainingDataset(data, training.augment, 1, 0), batches)))
    wrapped = group.wrap(module)  # averages as long as it lives
    detection, _ = wrapped(batch, 0.0)
    torch.stack(list(detection.values())).sum().backward()
    return {name: parameter.grad for name, parameter in module.network.named_parameters()}


@contextmanager
def watched(writes: list[str], weights: list[str]) -> Iterator[None]:
    """Note each checkpoint that is written, and the trained weights after each step."""
    save, follow = loop.save_checkpoint, loop.ModelEMA.follow

    def noted_save(path: Path, state: dict) -> None:
        writes.append(path.name)
        save(path, state)

    def noted_follow(self: loop.ModelEMA, network: torch.nn.Module, step: int) -> None:
        weights.append(digest_json([parameter.detach().flatten().tolist() for parameter in network.parameters()]))
        follow(self, network, step)

    with patch.object(loop, "save_checkpoint", noted_save), patch.object(loop.ModelEMA, "follow", noted_follow):
        yield


def main(squares: Path, maps: Path, out: Path) -> None:
    spec, told, writes, weights = spec_for("yolov3"), [], [], []
    lesson = Lesson(build_model(spec, 5).eval(), spec, Distill(), maps)
    with init_distributed() as group, watched(writes, weights):
        _, history = fit(job(squares, out / "run.pt", EPOCHS), group, lambda row: told.append(row["epoch"]), lesson)
        (out / f"{group.rank}.json").write_text(json.dumps({"told": told, "writes": writes, "weights": weights, "history": history}))
        torch.save(first_gradient(squares, group), out / f"{group.rank}.gradient")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
