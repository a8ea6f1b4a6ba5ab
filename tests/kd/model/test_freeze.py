"""A frozen network computes the same features as the trained one."""

import pytest
import torch

from kd.model.blocks import ConvBlock
from kd.model.build import Network, build_model
from kd.model.freeze import freeze
from kd.model.spec import ModelSpec

ANCHORS = {stride: [(stride, stride), (stride, 2 * stride), (2 * stride, stride)] for stride in (8, 16, 32)}
PICTURES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network() -> Network:
    """A network with the statistics and scales of a trained one."""
    network = build_model(ModelSpec("yolov3", 0.125, 0.125, ("a", "b"), ANCHORS, 64))
    source = torch.Generator().manual_seed(1)
    for block in network.modules():
        if isinstance(block, ConvBlock):
            for value in (block.norm.weight, block.norm.running_var):
                value.data = 0.5 + torch.rand(value.shape, generator=source)
            for value in (block.norm.bias, block.norm.running_mean):
                value.data = torch.randn(value.shape, generator=source) / 4
    return network


def test_features_and_heads_are_the_same_up_to_rounding(network: Network) -> None:
    copy = freeze(network, None)
    with torch.no_grad():
        expected, found = network.eval()(PICTURES), copy(PICTURES)
    for tap, feature in expected.taps().items():
        torch.testing.assert_close(found.taps()[tap], feature, rtol=1e-3, atol=1e-3)
    for stride, head in expected.heads.items():
        torch.testing.assert_close(found.heads[stride], head, rtol=1e-3, atol=1e-3)


def test_batch_normalization_and_casts_are_removed(network: Network) -> None:
    copy = freeze(network, torch.bfloat16)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in copy.modules())
    assert {parameter.dtype for parameter in copy.parameters()} == {torch.bfloat16}
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected, found = network.eval()(PICTURES).neck[16], copy(PICTURES).neck[16]
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected.float()).norm() < 0.05 * expected.float().norm()


def test_the_original_stays_trainable(network: Network) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    copy = freeze(network.train(), torch.bfloat16)
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not copy.training and not any(parameter.requires_grad for parameter in copy.parameters())
