"""Which feature of the student learns from which feature of the teacher.

Taps of one stride pair up. YOLOv3 also has stride 8, where it finds the small objects; yolov3-tiny has to find them at
stride 16, and would be told there to imitate a feature that leaves them to the finer level. So a feature finer than the
student has is folded into the student's finest: fold x fold cells side by side as channels of one (space to depth), and
their importance averaged.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pixel_unshuffle

from kd.model.build import Network


@dataclass(frozen=True)
class Partner:
    """The student's side of a pair.

    Attributes:
        tap: its name.
        channels: its channels.
        fold: cells of the teacher's feature to one of the student's, along a side.
    """

    tap: str
    channels: int
    fold: int

    def folded(self, feature: Tensor) -> Tensor:
        """The teacher's feature [B, C, H, W] as [B, C * fold^2, H / fold, W / fold]."""
        return pixel_unshuffle(feature, self.fold)

    def pooled(self, importance: Tensor) -> Tensor:
        """The teacher's map [B, H, W] as [B, H / fold, W / fold]."""
        return avg_pool2d(importance, self.fold)

    def spread(self, moments: Tensor) -> Tensor:
        """Statistics of the teacher's channels [C] as those of the folded channels [C * fold^2]."""
        return moments.repeat_interleave(self.fold**2)


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
