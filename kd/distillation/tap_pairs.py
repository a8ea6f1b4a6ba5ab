"""Which tap of the student learns from which tap of the teacher.

Taps of the same part and stride form a pair. YOLOv3 also has stride 8, which finds the small objects; yolov3-tiny finds them at
stride 16, its finest. So a teacher's tap that is finer than the student's finest is paired with that one, and the adapter
predicts several positions of the teacher from each position of the student.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from kd.model.build import Network
from kd.model.spec import Tap


class TapPair(NamedTuple):
    """A tap of the teacher and the tap of the student that learns from it.

    Attributes:
        teacher: the teacher's tap.
        student: the student's tap, of the same part.
        channels: channels of the student's feature.
        upscale_factor: the student's stride divided by the teacher's.
    """

    teacher: Tap
    student: Tap
    channels: int
    upscale_factor: int


def pair_taps(
    student: Network, teacher_strides: tuple[int, ...], parts: tuple[str, ...], strides: tuple[int, ...], image_size: int
) -> list[TapPair]:
    """Pair each tap of the teacher, of `parts` and `strides`, with a tap of the student; the student runs once to get its channels.

    Args:
        student: the network that learns; it is left as it was.
        teacher_strides: the strides that the teacher has.
        parts: "backbone", "neck", or both.
        strides: the strides of the teacher's taps to distill.
        image_size: side of the pictures in pixels.
    """
    features = _features(student, image_size)
    pairs = []
    for tap in (Tap(part, stride) for part in sorted(parts) for stride in sorted(strides) if stride in teacher_strides):
        finest = min(candidate.stride for candidate in features if candidate.part == tap.part)
        student_tap = Tap(tap.part, max(finest, tap.stride))
        pairs.append(TapPair(tap, student_tap, features[student_tap].shape[1], max(finest // tap.stride, 1)))
    return pairs


def _features(network: Network, image_size: int) -> dict[Tap, Tensor]:
    training, device = network.training, next(network.parameters()).device
    with torch.no_grad():
        features: dict[Tap, Tensor] = network.eval()(torch.zeros(1, 3, image_size, image_size, device=device)).taps()
    network.train(training)
    return features
