"""The adapter: from the student's channels and resolution to the teacher's."""

from torch import Tensor, nn


class Adapter(nn.Module):
    """phi: predicts the teacher's feature from the student's. It exists during training only.

    It is a linear map of the channels, so a 1x1 convolution if the strides are equal. If the teacher's feature is `fold` times
    finer, each position of the student predicts the fold x fold positions of the teacher that it covers. A linear layer on
    channels-last memory is faster than a 1x1 convolution.

    Args:
        student_channels: channels of the student's feature.
        teacher_channels: channels of the teacher's feature.
        fold: the student's stride divided by the teacher's.
    """

    def __init__(self, student_channels: int, teacher_channels: int, fold: int) -> None:
        super().__init__()
        self.fold, self.linear = fold, nn.Linear(student_channels, fold * fold * teacher_channels)

    def forward(self, student: Tensor) -> Tensor:
        """[B, C', h, w] to [B, C, h * fold, w * fold]."""
        adapted: Tensor = self.linear(student.permute(0, 2, 3, 1))
        if self.fold > 1:
            adapted = adapted.unflatten(3, (self.fold, self.fold, -1)).transpose(2, 3).flatten(1, 2).flatten(2, 3)
        return adapted.permute(0, 3, 1, 2)
