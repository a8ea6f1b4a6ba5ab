"""Pictures without labels in a training: the teacher's terms see them, the labels' terms and a training without a teacher do not."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from kd.data.augment import AugmentConfig
from kd.data.batch import Batch
from kd.data.dataset import DetectionData, find_unlabelled
from kd.data.loader import TrainingDataset, training_loader
from kd.data.sampler import EpochBatchSampler
from kd.detection.decode import flatten_heads
from kd.detection.loss import DetectionLoss
from kd.distillation.compute_maps import write_info_maps
from kd.distillation.loss import DistillConfig
from kd.distillation.setup import build_distillation
from kd.errors import InputError
from kd.files import digest
from kd.model.build import Network, build_model
from kd.model.distributed import Processes
from kd.model.store import save_model
from kd.train.engine import BuildDistillation, EpochMetrics
from tests.kd.train.squares import ANCHORS, SIDE, Job, job, spec_for, write_squares

VARIED = AugmentConfig(mosaic=0.5, flip=0.5, scale=0.3, translate=0.1, color=0.3)
UNLABELLED = 5


@pytest.fixture(scope="module")
def mixed(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The squares, and others without labels."""
    folder = Path(shutil.copytree(squares, tmp_path_factory.mktemp("mixed") / "data"))
    more = write_squares(tmp_path_factory.mktemp("more"), train=UNLABELLED + 3, val=1)
    shutil.copytree(more / "train", folder / "unlabelled")
    file = folder / "unlabelled/annotations.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"annotations": [], "images": content["images"][3:]}))  # the first three are in train, too
    return folder


@pytest.fixture(scope="module")
def mixed_maps(mixed: Path, teacher: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    train, more = DetectionData(mixed / "train", SIDE), find_unlabelled(mixed, SIDE)
    write_info_maps(teacher, spec_for("yolov3"), train, "activation", 8, folder, {}, more)
    return folder


@pytest.fixture(scope="module")
def distill_mixed(teacher: Network, mixed_maps: Path) -> Callable[..., BuildDistillation]:
    return lambda live=False, **settings: partial(
        build_distillation, teacher, spec_for("yolov3"), DistillConfig(**settings), mixed_maps, live=live
    )


def train(training: Job, single: Processes, *arguments: object) -> tuple[str, list[EpochMetrics]]:
    """The digest of the model, and its history."""
    network, history = training.run(single, *arguments)
    save_model(training.checkpoint.with_suffix(".safetensors"), network, spec_for())
    return digest(training.checkpoint.with_suffix(".safetensors")), history


def test_a_training_without_a_teacher_never_sees_them(squares: Path, mixed: Path, single: Processes, tmp_path: Path) -> None:
    assert train(job(squares, tmp_path / "a.pt", 2, VARIED), single) == train(job(mixed, tmp_path / "b.pt", 2, VARIED), single)


def test_a_share_of_0_is_a_distillation_without_them(
    squares: Path, mixed: Path, single: Processes, tmp_path: Path, distill: Callable, distill_mixed: Callable
) -> None:
    without = train(job(squares, tmp_path / "a.pt", 2, VARIED), single, distill())
    assert train(job(mixed, tmp_path / "b.pt", 2, VARIED), single, distill_mixed(unlabelled=0.0)) == without
    assert train(job(mixed, tmp_path / "c.pt", 2, VARIED), single, distill_mixed()) != without


@pytest.mark.parametrize("live", [False, True])
def test_a_killed_training_with_them_resumes_and_ends_with_the_same_bytes(
    mixed: Path, single: Processes, tmp_path: Path, distill_mixed: Callable, live: bool
) -> None:
    def stop(metrics: EpochMetrics) -> None:
        if metrics["epoch"] == 2:
            raise KeyboardInterrupt

    build = distill_mixed(live, response=1.0, unlabelled=0.7)
    whole = train(job(mixed, tmp_path / "whole.pt", 4, VARIED), single, build)
    broken = job(mixed, tmp_path / "broken.pt", 4, VARIED)
    with pytest.raises(KeyboardInterrupt):
        train(broken, single, build, stop)
    assert train(broken, single, build) == whole
    assert train(job(mixed, tmp_path / "workers.pt", 4, VARIED, workers=2), single, build) == whole


@pytest.fixture
def step(mixed: Path, distill_mixed: Callable) -> tuple[Network, Batch, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A student in evaluation mode, a batch of both kinds, and the terms of the detection and of the distillation for it."""
    network = build_model(spec_for(), 0).eval()
    data, more = DetectionData(mixed / "train", SIDE), find_unlabelled(mixed, SIDE)
    distillation = distill_mixed(response=1.0)(network, spec_for(), len(data) + len(more or ()), None, 0)
    batches = EpochBatchSampler(len(data), 4, 0, unlabelled=UNLABELLED, unlabelled_share=distillation.unlabelled)
    batch = next(iter(training_loader(TrainingDataset(data, VARIED, 1, 0, distillation.stored_maps, more), batches))).augment()
    batch = batch._replace(pictures=batch.pictures.requires_grad_())
    output, taught = network(batch.pictures), distillation.teacher(batch.pictures.detach(), distillation.strides)
    predictions = flatten_heads(output.heads, ANCHORS["yolov3-tiny"])
    distilled = distillation.loss(output, predictions, taught, distillation.maps(batch, taught), batch, 0.0)
    return network, batch, DetectionLoss(ANCHORS["yolov3-tiny"])(predictions, batch), distilled


def gradients(network: Network, terms: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    loss = torch.stack(list(terms.values())).sum()
    return [g for g in torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True) if g is not None]


def test_the_gradient_of_the_labels_is_that_of_a_batch_without_them(step: tuple) -> None:
    network, batch, detection, _ = step
    assert batch.unlabelled == 4 and len(batch.pictures) == 8
    output = network(batch.pictures[:4])
    alone = DetectionLoss(ANCHORS["yolov3-tiny"])(
        flatten_heads(output.heads, ANCHORS["yolov3-tiny"]), batch._replace(pictures=batch.pictures[:4], unlabelled=0)
    )
    for one, other in zip(gradients(network, detection), gradients(network, alone), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_only_the_teachers_terms_reach_them(step: tuple) -> None:
    _, batch, detection, distilled = step
    reached = {
        name: torch.autograd.grad(term, batch.pictures, retain_graph=True)[0].flatten(1).any(dim=1).tolist()
        for name, term in (detection | distilled).items()
        if term.requires_grad and term.item()
    }
    assert reached["objectness"] == [True] * 4 + [False] * 4
    assert all(not any(found[4:]) for name, found in reached.items() if name in detection)
    features = [name for name in reached if name in distilled and name != "distill_response"]
    assert len(features) == 6 and all(all(reached[name]) for name in features)


def test_maps_without_theirs_are_refused(mixed: Path, single: Processes, tmp_path: Path, distill: Callable) -> None:
    with pytest.raises(InputError, match="holds maps of 8 pictures, but the data have 13; run compute_info_maps again"):
        job(mixed, tmp_path / "a.pt", 1).run(single, distill())
