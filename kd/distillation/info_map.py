"""The information map: how important is each position of the teacher's features?

Li, Wu, Liu and Wang (2022) weight distillation by such a map, but publish no formula. These are six methods to compute it, each
based on published work. T is the teacher's feature at one tap, [B, C, H, W]. A map I is [B, H, W], at least 0, and its mean over
the positions of a picture is 1.

    activation   E_ij = mean_c N(T)_cij^2                               I = E / mean(E)   attention transfer (Zagoruyko, 2017)
    confidence   q_ij = max_a sigmoid(obj_a) * max_k sigmoid(cls_ak)    I = q / mean(q)   Mehta and Ozturk (2018)
    mask         u_ij = max over anchors and boxes of IoU, if above half of the box's best IoU   FGFI (Wang, 2019)
    entropy      H_ij = entropy of the softmax over channels            I = H / mean(H)
    gradient     g_ij = |sum_c dL_detection/dT_cij * T_cij|             I = g / mean(g)   Grad-CAM (Selvaraju, 2017)
    uniform      I = 1                                                                    FitNets (Romero, 2015)

N standardizes each channel with its mean and standard deviation over the training pictures. If the channels are unit Gaussians,
-log p(N(T)_ij) = C/2 * E_ij + const: E is the self-information of the position, hence the name of the map.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_iou

METHODS = ("activation", "confidence", "mask", "entropy", "gradient", "uniform")


def normalize(importance: Tensor) -> Tensor:
    """Divide [B, H, W] by the mean of each picture; a picture of zeros becomes 1 everywhere."""
    mean = importance.mean(dim=(1, 2), keepdim=True)
    return torch.where(mean > 0, importance / mean.clamp(min=torch.finfo(importance.dtype).tiny), 1.0)


def activation(feature: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Mean square of the standardized channels; their `mean` and `std` are [C]."""
    standardized = (feature - mean[:, None, None]) / std[:, None, None]
    return normalize(standardized.square().mean(dim=1))


def confidence(head: Tensor) -> Tensor:
    """The teacher's confidence, from its raw head [B, 3 * (5 + K), H, W] at the tap's stride."""
    anchors = head.view(len(head), 3, -1, *head.shape[2:]).sigmoid()
    return normalize((anchors[:, :, 4] * anchors[:, :, 5:].amax(dim=2)).amax(dim=1))


def mask(boxes: Tensor, batch_index: Tensor, pictures: int, anchors: Sequence[tuple[float, float]], stride: int, image_size: int) -> Tensor:
    """Overlap of the anchors with the labeled objects.

    Args:
        boxes: [M, 4] in pixels of the square.
        batch_index: [M] index of the picture in the batch that a box belongs to.
        pictures: number of pictures in the batch.
        anchors: the (width, height) of each anchor of this stride, in pixels.
        stride: of the tap.
        image_size: side of the square in pixels.
    """
    cells = image_size // stride
    middle = (torch.arange(cells, device=boxes.device) + 0.5) * stride
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    half = boxes.new_tensor(anchors)[:, None, None] / 2
    center = torch.stack([x, y], dim=-1)
    tiles = torch.cat([center - half, center + half], dim=-1)
    overlap = box_iou(tiles.reshape(-1, 4), boxes).view(len(half), cells, cells, -1).amax(dim=0).permute(2, 0, 1)
    good = torch.where(overlap > 0.5 * overlap.amax(dim=(1, 2), keepdim=True), overlap, 0.0)
    importance = boxes.new_zeros(pictures, cells, cells)
    for box_overlap, picture in zip(good, batch_index.tolist(), strict=True):
        importance[picture] = torch.maximum(importance[picture], box_overlap)
    return normalize(importance)


def entropy(feature: Tensor) -> Tensor:
    """Entropy of the softmax over channels."""
    return normalize(-(feature.softmax(dim=1) * feature.log_softmax(dim=1)).sum(dim=1))


def gradient(feature: Tensor, grad: Tensor) -> Tensor:
    """Absolute value of gradient times feature, summed over channels; `grad` is the gradient of the detection loss in the feature."""
    return normalize((grad * feature).sum(dim=1).abs())


def uniform(feature: Tensor) -> Tensor:
    """1 everywhere."""
    return torch.ones_like(feature[:, 0])
