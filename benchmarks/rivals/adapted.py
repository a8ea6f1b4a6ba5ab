"""What all rivals share with our own loss."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Adapted(nn.Module, ABC):
    """A loss behind a 1x1 convolution from the student's channels to the teacher's.

    Args:
        student_channels: C of the student's feature.
        mean: of the teacher's channels over the training pictures, [C]; rivals do not standardise by it.
        deviation: likewise.
    """

    def __init__(self, student_channels: int, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.adapter = nn.Conv2d(student_channels, len(mean), 1)

    def forward(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """A scalar from features [B, C, H, W] and the tap's map; computed in float32."""
        return self.compare(self.adapter(student).float(), teacher.float(), importance)

    @abstractmethod
    def compare(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """The loss of features [B, C, H, W] that have the same channels."""
