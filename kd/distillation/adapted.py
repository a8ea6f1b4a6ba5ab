"""What losses of a tap share: the adapter, which takes the student's features to the teacher's channels and places."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Adapter(nn.Module):
    """phi: what each place of the student tells of fold x fold places of the teacher. It exists in training alone.

    A linear map of the channels, so a 1x1 convolution where the strides are equal; channels that lie together in memory make
    it faster than one.
    """

    def __init__(self, student_channels: int, teacher_channels: int, fold: int) -> None:
        super().__init__()
        self.fold, self.linear = fold, nn.Linear(student_channels, fold * fold * teacher_channels)

    def forward(self, student: Tensor) -> Tensor:
        """[B, C', h, w] to [B, C, h * fold, w * fold]."""
        told: Tensor = self.linear(student.permute(0, 2, 3, 1))
        if self.fold > 1:
            told = told.unflatten(3, (self.fold, self.fold, -1)).transpose(2, 3).flatten(1, 2).flatten(2, 3)
        return told.permute(0, 3, 1, 2)


class Adapted(nn.Module, ABC):
    """A loss of one tap behind an adapter.

    Args:
        student_channels: of the student's feature.
        fold: places of the teacher's feature to one of the student's, along a side.
        mean: of the teacher's channels over the training pictures, [C].
        deviation: likewise, [C], above 0.
    """

    def __init__(self, student_channels: int, fold: int, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.adapter = Adapter(student_channels, len(mean), fold)

    def forward(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """A scalar from the student's feature [B, C', H / fold, W / fold], the teacher's [B, C, H, W] and its map [B, H, W]."""
        return self.compare(self.adapter(student).float(), teacher.float(), importance)

    @abstractmethod
    def compare(self, student: Tensor, teacher: Tensor, importance: Tensor) -> Tensor:
        """The loss of features [B, C, H, W] that have the same channels; a scalar in float32."""
