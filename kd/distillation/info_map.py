"""The information map: how important is each place of the teacher's features?

Li, Wu, Liu and Wang (2022) weight distillation by such a map, but publish no formula; these are our methods of it, each
known from published work. T is the teacher's feature at one tap, [B, C, H, W]; a map I is [B, H, W], not negative, and its
mean over the places of a picture is 1.

    activation   E_ij = mean_c N(T)_cij^2                               I = E / mean(E)   attention transfer (Zagoruyko, 2017)
    confidence   q_ij = max_a sigmoid(obj_a) * max_k sigmoid(cls_ak)    I = q / mean(q)   Mehta and Ozturk (2018)
    mask         u_ij = max over anchors and boxes of IoU, where it exceeds half of the box's best   FGFI (Wang, 2019)
    entropy      H_ij = entropy of the softmax over channels            I = H / mean(H)
    gradient     g_ij = |sum_c dL_detection/dT_cij * T_cij|             I = g / mean(g)   Grad-CAM (Selvaraju, 2017)
    uniform      I = 1                                                                    FitNets (Romero, 2015)

N standardizes each channel with its mean and deviation over the training pictures. For channels that are unit Gaussians
-log p(N(T)_ij) = C/2 * E_ij + const: E is the self-information of the place, hence the name.
"""

import torch
from torch import Tensor
from torchvision.ops import box_iou

from kd.data.anchors import Anchors

METHODS = ("activation", "confidence", "mask", "entropy", "gradient", "uniform")


def mean_one(importance: Tensor) -> Tensor:
    """Divide [B, H, W] by each picture's mean; a picture without any importance is weighted evenly."""
    mean = importance.mean(dim=(1, 2), keepdim=True)
    return torch.where(mean > 0, importance / mean.clamp(min=torch.finfo(importance.dtype).tiny), 1.0)


def activation(feature: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Energy of the standardized feature; `mean` and `deviation` are the channels', [C]."""
    standard = (feature - mean[:, None, None]) / deviation[:, None, None]
    return mean_one(standard.square().mean(dim=1))


def confidence(head: Tensor) -> Tensor:
    """The teacher's own confidence, from its raw head [B, 3 * (5 + K), H, W] at the tap's stride."""
    anchors = head.view(len(head), 3, -1, *head.shape[2:]).sigmoid()
    return mean_one((anchors[:, :, 4] * anchors[:, :, 5:].amax(dim=2)).amax(dim=1))


def mask(boxes: Tensor, batch_index: Tensor, pictures: int, anchors: Anchors, stride: int, image_size: int) -> Tensor:
    """Where anchors overlap objects well. Boxes [M, 4] (pixels of the square) belong to the pictures `owners` [M]."""
    cells = image_size // stride
    middle = (torch.arange(cells, device=boxes.device) + 0.5) * stride
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    half = boxes.new_tensor(anchors[stride])[:, None, None] / 2
    center = torch.stack([x, y], dim=-1)
    tiles = torch.cat([center - half, center + half], dim=-1)
    overlap = box_iou(tiles.reshape(-1, 4), boxes).view(len(half), cells, cells, -1).amax(dim=0).permute(2, 0, 1)
    good = torch.where(overlap > 0.5 * overlap.amax(dim=(1, 2), keepdim=True), overlap, 0.0)
    importance = boxes.new_zeros(pictures, cells, cells)
    for box, owner in zip(good, batch_index.tolist(), strict=True):
        importance[owner] = torch.maximum(importance[owner], box)
    return mean_one(importance)


def entropy(feature: Tensor) -> Tensor:
    """Entropy of the channels' softmax."""
    return mean_one(-(feature.softmax(dim=1) * feature.log_softmax(dim=1)).sum(dim=1))


def gradient(feature: Tensor, slope: Tensor) -> Tensor:
    """First-order share of the place in the teacher's detection loss; `slope` is that loss's gradient in the feature."""
    return mean_one((slope * feature).sum(dim=1).abs())


def uniform(feature: Tensor) -> Tensor:
    """Every place alike."""
    return torch.ones_like(feature[:, 0])
