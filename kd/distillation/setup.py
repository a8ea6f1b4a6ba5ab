"""Puts a distillation together: the frozen teacher, its information maps, and the loss with its adapters."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from kd.data.batch import Batch
from kd.distillation.loss import DistillationLoss, DistillConfig, TapLoss
from kd.distillation.map_generator import InfoMapGenerator, MapFunction
from kd.distillation.map_store import MapStore, load_statistics, read_index
from kd.distillation.tap_pairs import TapPair, pair_taps
from kd.errors import InputError
from kd.model.build import Network
from kd.model.freeze import freeze
from kd.model.spec import ModelSpec, Output, Tap


@dataclass(frozen=True)
class Distillation:
    """What a training step needs to distill.

    Attributes:
        teacher: the frozen teacher.
        strides: the strides that the teacher has to compute.
        stored_maps: the maps that the loader warps with each picture; None if they are computed.
        map_function: computes the maps of a batch; None if they are stored.
        loss: compares student and teacher; its parameters are the adapters.
        unlabelled: share of the pictures without labels in a batch, if there are any, 0..1.
    """

    teacher: Network
    strides: tuple[int, ...]
    stored_maps: MapStore | None
    map_function: MapFunction | None
    loss: nn.Module
    unlabelled: float

    def maps(self, batch: Batch, teacher: Output) -> dict[Tap, Tensor]:
        """The information maps of a batch: computed from the teacher's output, or the stored ones, which the loader has warped."""
        return self.map_function(batch, teacher) if self.map_function else batch.maps


def build_distillation(
    teacher: Network,
    teacher_spec: ModelSpec,
    config: DistillConfig,
    folder: Path,
    student: Network,
    student_spec: ModelSpec,
    pictures: int,
    dtype: torch.dtype | None,
    seed: int,
    *,
    live: bool = False,
    tap_loss: TapLoss | None = None,
    map_function: MapFunction | None = None,
) -> Distillation:
    """Build a distillation; the initial weights of its adapters depend on `seed` only.

    Args:
        teacher: the trained teacher.
        teacher_spec: its spec.
        config: what is distilled.
        folder: maps and channel statistics that compute_info_maps wrote.
        student: the network to train, on its device.
        student_spec: its spec.
        pictures: number of training pictures, with and without labels.
        dtype: what autocast computes in; None for float32.
        seed: of the adapters.
        live: compute the maps on each augmented picture instead of warping the stored ones.
        tap_loss: the loss of one tap, in place of the one that `config` names.
        map_function: computes live maps; None for the method that the stored maps were made with.

    Raises:
        InputError: if teacher and student have other classes or another image size, or the stored maps do not fit.
    """
    if (teacher_spec.classes, teacher_spec.image_size) != (student_spec.classes, student_spec.image_size):
        raise InputError("teacher", "has other classes or another image size than the student", "train it on the same prepared data")
    device = next(student.parameters()).device
    frozen = freeze(teacher.to(device), dtype)
    pairs = pair_taps(student, teacher.strides, config.taps, config.strides, student_spec.image_size)
    taps = [pair.teacher for pair in pairs]
    statistics = load_statistics(folder, taps, device)
    stored = None if live else MapStore(folder, taps, pictures)
    if live and not map_function:
        map_function = InfoMapGenerator(frozen, teacher_spec, read_index(folder)["method"], taps, statistics)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        loss = DistillationLoss(pairs, statistics, config, teacher_spec, student_spec, tap_loss).to(device)
    strides = _strides(pairs, teacher_spec, config, live)
    return Distillation(frozen, strides, stored, map_function if live else None, loss, config.unlabelled)


def _strides(pairs: list[TapPair], teacher: ModelSpec, config: DistillConfig, live: bool) -> tuple[int, ...]:
    """Strides that the teacher's neck has to compute: all for its response, none if only the backbone is distilled."""
    if config.response:
        return tuple(teacher.anchors)
    return tuple(sorted({pair.teacher.stride for pair in pairs if live or pair.teacher.part == "neck"}))
