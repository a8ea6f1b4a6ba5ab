"""What all rivals share with our own loss."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from kd.distillation.feature import Adapter


class Adapted(nn.Module, ABC):
    """A loss behind our own loss's adapter.

    Args:
        student_channels: of the student's feature.
        fold: places of the teacher's feature to one of the student's, along a side.
        mean: of the teacher's channels over the training pictures, [C]; rivals do not standardise by it.
        deviation: likewise.
    """

    def __init__(self, student_channels: int, fold: int, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.adapter = Adapter(student_channels, len(mean), fold)

    def forward(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """A scalar from the student's feature [B, C', H / fold, W / fold], the teacher's [B, C, H, W] and the map; in float32."""
        return self.compare(self.adapter(student).float(), teacher.float(), importance)

    @abstractmethod
    def compare(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """The loss of features [B, C, H, W] that have the same channels."""
