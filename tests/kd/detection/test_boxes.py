import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou, complete_box_iou_loss

from kd.detection.boxes import complete_iou_loss, iou


def random_boxes(count: int, seed: int) -> Tensor:
    """Many of them overlap."""
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).sort(dim=1).values
    return (corners * 10 + torch.tensor([[0.0], [0.1]])).flatten(1)


def test_iou_is_torchvisions() -> None:
    boxes, others = random_boxes(50, 0), random_boxes(40, 1)
    torch.testing.assert_close(iou(boxes[:, None], others[None]), box_iou(boxes, others))


@pytest.mark.parametrize("equal", [False, True])
def test_the_complete_iou_loss_and_its_gradient_are_torchvisions(equal: bool) -> None:
    targets = random_boxes(200, 1)
    boxes = (targets.clone() if equal else random_boxes(200, 0)).requires_grad_()
    assert equal or 0 < (iou(boxes, targets) > 0).sum() < 200
    losses = complete_iou_loss(boxes, targets), complete_box_iou_loss(boxes, targets)
    torch.testing.assert_close(*losses, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(loss.sum(), boxes)[0] for loss in losses]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)
