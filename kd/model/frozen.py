"""A trained network that only looks: batch normalisation folded into the convolutions, weights in the type it computes in."""

from copy import deepcopy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kd.model.blocks import ConvBlock
from kd.model.build import Network


def frozen(network: Network, dtype: torch.dtype | None) -> Network:
    """A copy of `network` in evaluation mode that gives the same features up to rounding, faster, and takes no gradient.

    Args:
        network: trained; left as it is.
        dtype: what autocast will compute in, or None for the weights' own type.
    """
    copy = deepcopy(network).eval()
    for block in copy.modules():
        if isinstance(block, ConvBlock):
            block.convolution = fuse_conv_bn_eval(block.convolution, block.norm)
            block.register_module("norm", nn.Identity())
    return copy.to(dtype).to(memory_format=torch.channels_last).requires_grad_(False)
