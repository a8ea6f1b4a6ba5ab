"""The training loop, the same for teacher, baseline and distilled student."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from kd.data.augment import AugmentConfig
from kd.data.batch import LoadedBatch
from kd.data.dataset import DetectionData, find_unlabelled
from kd.data.loader import TrainingDataset, training_loader
from kd.data.sampler import EpochBatchSampler
from kd.data.streams import MULTI_SCALE, generator
from kd.detection.loss import DetectionLoss
from kd.errors import InputError
from kd.memory import free_memory_share
from kd.model.build import Network, build_model
from kd.model.distributed import Processes
from kd.model.spec import ModelSpec
from kd.train.checkpoint import Parts, restore_checkpoint, save_checkpoint
from kd.train.compile import compile_module
from kd.train.config import TrainConfig
from kd.train.divergence import DivergenceCheck, check_weights
from kd.train.early_stopping import KEPT_MARK, best_epoch, is_exhausted
from kd.train.gradient_ratio import exceeds_max_ratio, gradient_ratio
from kd.train.lr_schedule import set_lr
from kd.train.multi_scale import resize_batch, sample_sides
from kd.train.progress import TrainingProgress
from kd.train.state import TrainState, build_state
from kd.train.validation import validate

if TYPE_CHECKING:  # a training without a teacher neither imports nor depends on the distillation
    from kd.distillation.setup import Distillation

EpochMetrics = dict[str, float]
BuildDistillation = Callable[[Network, ModelSpec, int, torch.dtype | None, int], "Distillation"]
"""From student, its spec, number of pictures, autocast dtype and seed to a distillation; see `kd.distillation.setup`."""


def train(
    spec: ModelSpec,
    data: Path,
    config: TrainConfig,
    augment: AugmentConfig,
    seed: int,
    checkpoint: Path,
    processes: Processes,
    distill: BuildDistillation | None = None,
    on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None,
    title: str = "train",
    initial: Network | None = None,
) -> tuple[Network, list[EpochMetrics]]:
    """Train a network, or resume its training, and return the averaged network and the metrics of each epoch.

    Only a distillation sees the pictures without labels.

    The metrics of an epoch are "epoch", the mean of every loss term, for a distillation "gradient_ratio", and every few epochs
    "val_map" and "val_map50" (0..1) if there is a val split. With 0 epochs, the network is returned unchanged, and its scores on the
    val split are the only metrics. With `config.keep_epoch` "best", the epoch whose weights are returned has "kept" 1.

    Args:
        spec: the network.
        data: folder that prepare_data wrote.
        config: the settings.
        augment: the augmentation.
        seed: of the initial weights, the order of the pictures and the augmentation.
        checkpoint: file that keeps the state after each epoch; a training that finds it resumes there.
        processes: the processes of this training.
        distill: builds the distillation; None to train with labels only.
        on_epoch: called with the metrics of each epoch, in the main process.
        title: of the progress bar.
        initial: the network to start from; None for random weights.

    Raises:
        InputError: if the data or maps do not fit, there is no val split to choose an epoch by, or a checkpoint is broken or cannot be
            written.
        TrainingDiverged: if the loss or a weight is not finite.
    """
    pictures, val = (DetectionData(data / split, spec.image_size) for split in ("train", "val"))
    network = (initial or build_model(spec, seed)).to(processes.device)
    if not config.epochs:
        return network.eval(), [{"epoch": 0.0, **validate(network, spec, val, processes, config.workers, None)}]
    keeps_best = config.keep_epoch == "best"
    if (config.patience or keeps_best) and not len(val):
        problem = "has no pictures, but patience and keep_epoch: best need them"
        raise InputError(data / "val", problem, "raise data.val, or set patience to 0 and keep_epoch to last")
    if config.sync_batch_norm:
        processes.synchronize_batch_norm(network)
    autocast = config.autocast_dtype(processes.device)
    unlabelled = find_unlabelled(data, spec.image_size) if distill else None
    distillation = distill(network, spec, len(pictures) + len(unlabelled or ()), autocast, seed) if distill else None
    maps = distillation.stored_maps if distillation else None
    cache = free_memory_share() // 2 if config.cache else 0
    dataset = TrainingDataset(pictures, augment, config.epochs, seed, maps, unlabelled, cache)
    unlabelled_share = distillation.unlabelled if distillation else 0.0
    batch_sampler = EpochBatchSampler(
        len(pictures), config.batch, seed, processes.rank, processes.world_size, len(unlabelled or ()), unlabelled_share
    )
    loader = training_loader(dataset, batch_sampler, config.workers)
    state = build_state(network, distillation.loss if distillation else None, config)
    student = processes.wrap(network)
    if distillation:
        distillation = replace(distillation, loss=processes.wrap(distillation.loss))
    if config.compile:
        student = compile_module(student)
        distillation = replace(distillation, teacher=compile_module(distillation.teacher)) if distillation else None
    criterion = DetectionLoss(spec.anchors).to(processes.device)
    average = state.ema.network
    result = copy.deepcopy(average) if keeps_best else average
    parts: Parts = {**state.checkpoint_parts(), **({"best": result} if keeps_best else {})}
    with processes.together():  # the checkpoint of a finished training is deleted, and every process must have read it before
        history = restore_checkpoint(checkpoint, parts)
    progress_bar = TrainingProgress(title, config.epochs, len(batch_sampler), batch_sampler.size, len(history), processes.is_main)
    for epoch in range(len(history), config.epochs):
        if is_exhausted(history, config.patience):
            reason = f"mAP on the val split has not risen in {config.patience} evaluations"
            progress_bar.write(f"{title}: ends after epoch {epoch} of {config.epochs}, because {reason}")
            break
        batch_sampler.epoch = epoch
        sides = sample_sides(generator(seed, MULTI_SCALE, epoch), augment.multi_scale, spec.image_size, len(batch_sampler))
        losses = train_one_epoch(state, student, criterion, distillation, loader, sides, epoch, progress_bar)
        check_weights((state.trained, average), epoch, len(batch_sampler))
        history.append({"epoch": epoch + 1.0, **losses})
        if (epoch + 1) % config.evaluate_every == 0 or epoch + 1 == config.epochs:
            history[-1] |= validate(average, spec, val, processes, config.workers, autocast)
            if keeps_best and best_epoch(history) is history[-1]:
                result.load_state_dict(average.state_dict())
        if processes.is_main:
            save_checkpoint(checkpoint, {name: part.state_dict() for name, part in parts.items()} | {"history": history})
            if exceeds_max_ratio(history):
                ratio = history[-1]["gradient_ratio"]
                progress_bar.write(f"warning: the gradient of the distillation is {ratio:.0f} times the detection's; lower distill.weight")
            on_epoch(history[-1])
        processes.barrier()
    progress_bar.close()
    if keeps_best and (best := best_epoch(history)):
        best[KEPT_MARK] = 1.0
    return result, history


def train_one_epoch(
    state: TrainState,
    student: nn.Module,
    criterion: DetectionLoss,
    distillation: "Distillation | None",
    loader: DataLoader[LoadedBatch],
    sides: Sequence[int],
    epoch: int,
    progress_bar: TrainingProgress,
) -> EpochMetrics:
    """One pass over the training pictures; the mean of each loss term, and the gradient ratio of the first step.

    `student` is the network of `state`, which like the distillation's loss is wrapped for several processes. `sides` are those of the
    pictures in each step. `epoch` counts from 0.

    Raises:
        TrainingDiverged: if the loss is not finite.
    """
    state.trained.train()
    if epoch < state.config.freeze_epochs:  # freeze the batch statistics, too
        state.trained[0].get_submodule("backbone").eval()
    steps, device = len(loader), next(state.trained.parameters()).device
    divergence = DivergenceCheck(epoch, device)
    sums: dict[str, Tensor] = {}
    ratio: EpochMetrics = {}
    for index, (loaded, side) in enumerate(zip(progress_bar.timed(loader), sides, strict=True)):
        step = epoch * steps + index
        set_lr(state.optimizer, state.config, step, steps)
        batch = resize_batch(loaded.to(device).augment(), side)
        batch = batch._replace(pictures=batch.pictures.to(memory_format=torch.channels_last))

        distill_terms: dict[str, Tensor] = {}
        with torch.autocast(device.type, dtype=state.autocast, enabled=state.autocast is not None):
            if distillation:  # before the student, so that the teacher's memory is free again
                with torch.no_grad():
                    teacher_output = distillation.teacher(batch.pictures, distillation.strides)
            output = student(batch.pictures)
            predictions = criterion.candidates(output.heads)
            if distillation:
                maps = distillation.maps(batch, teacher_output)
                progress = step / (steps * state.config.epochs)
                distill_terms = distillation.loss(output, predictions, teacher_output, maps, batch, progress)
        detection_terms = criterion(predictions, batch)
        terms = detection_terms | distill_terms
        loss = torch.stack(list(terms.values())).sum()

        divergence.update(index, loss, terms)
        if index == 0 and distill_terms:
            ratio = {"gradient_ratio": gradient_ratio(student, detection_terms, distill_terms)}
        state.backward_and_update(loss, step, steps)

        values = {name: term.detach() for name, term in terms.items()}
        for name, value in values.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value
        progress_bar.step(epoch, values, divergence)
    divergence.raise_if_diverged()
    return {name: float(total / steps) for name, total in sums.items()} | ratio
