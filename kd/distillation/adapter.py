"""The adapter: from the student's channels and resolution to the teacher's."""

from torch import Tensor, nn


class Adapter(nn.Module):
    """phi: predicts the teacher's feature from the student's. It exists during training only.

    It is a linear map of the channels, so a 1x1 convolution if the strides are equal. If the teacher's feature is finer, each
    position of the student predicts the positions of the teacher that it covers, as in `nn.PixelShuffle`. A linear layer on
    channels-last memory is faster than a 1x1 convolution.

    Args:
        student_channels: channels of the student's feature.
        teacher_channels: channels of the teacher's feature.
        upscale_factor: the student's stride divided by the teacher's.
    """

    def __init__(self, student_channels: int, teacher_channels: int, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor, self.linear = upscale_factor, nn.Linear(student_channels, upscale_factor**2 * teacher_channels)

    def forward(self, student: Tensor) -> Tensor:
        """[B, C', h, w] to [B, C, h * upscale_factor, w * upscale_factor]."""
        adapted: Tensor = self.linear(student.permute(0, 2, 3, 1))
        if self.upscale_factor > 1:
            adapted = adapted.unflatten(3, (self.upscale_factor, self.upscale_factor, -1)).transpose(2, 3).flatten(1, 2).flatten(2, 3)
        return adapted.permute(0, 3, 1, 2)
