"""Which feature of the student learns from which feature of the teacher.

Taps of one stride pair up. YOLOv3 also has stride 8, where it finds the small objects; yolov3-tiny has to find them at
stride 16, and would be told there to imitate a feature that leaves them to the finer level. So a feature finer than the
student has is a lesson for the student's finest, each place of which has to tell of fold x fold places of the teacher's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kd.model.build import Network


@dataclass(frozen=True)
class Partner:
    """The student's side of a pair.

    Attributes:
        tap: its name.
        channels: its channels.
        fold: places of the teacher's feature to one of the student's, along a side.
    """

    tap: str
    channels: int
    fold: int


def stride_of(tap: str) -> int:
    """16 of "neck_16"."""
    return int(tap.split("_")[1])


def pair_taps(
    student: nn.Module, teacher: Network, parts: tuple[str, ...], strides: tuple[int, ...], image_size: int
) -> dict[str, Partner]:
    """The partner of each of the teacher's taps of `parts` and `strides`, found by a trial run of the student.

    Args:
        student: its `forward` gives an `Output`.
        teacher: the teacher.
        parts: "backbone", "neck" or both.
        strides: the teacher's strides that are taught.
        image_size: side of the pictures in pixels.
    """
    ours = _taps(student, image_size)
    pairs = {}
    for tap in (f"{part}_{stride}" for part in sorted(parts) for stride in sorted(strides) if stride in teacher.strides):
        part, stride = tap.split("_")
        finest = min(stride_of(own) for own in ours if own.startswith(part))
        partner = f"{part}_{max(finest, int(stride))}"
        pairs[tap] = Partner(partner, ours[partner].shape[1], max(finest // int(stride), 1))
    return pairs


def _taps(network: nn.Module, image_size: int) -> dict[str, Tensor]:
    training, device = network.training, next(network.parameters()).device
    with torch.no_grad():
        taps: dict[str, Tensor] = network.eval()(torch.zeros(1, 3, image_size, image_size, device=device)).taps()
    network.train(training)
    return taps
