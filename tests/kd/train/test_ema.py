"""The moving ema of the weights."""

import copy

import pytest
import torch

from kd.model.build import Network, build_model
from kd.train.ema import ModelEMA
from tests.kd.train.squares import spec_for


@pytest.fixture
def network() -> Network:
    return build_model(spec_for())


def shifted(network: Network, by: float) -> Network:
    other = copy.deepcopy(network)
    with torch.no_grad():
        for value in other.state_dict().values():
            value += int(by) if not value.is_floating_point() else by
    return other


def test_it_is_the_weighted_mean_of_the_steps(network: Network) -> None:
    ema = ModelEMA(network, 0.9)
    expected = {name: value.clone().double() for name, value in network.state_dict().items()}
    for step in (1, 2, 3, 500):
        moved = shifted(network, float(step))
        ema.update(moved, step)
        decay = min(0.9, step / (step + 20))
        for name, value in moved.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value if value.is_floating_point() else value
    for name, value in ema.network.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name].double(), rtol=1e-5, atol=1e-5)


def test_statistics_are_averaged_and_counters_copied(network: Network) -> None:
    ema = ModelEMA(network, 0.5)
    ema.update(shifted(network, 4.0), 10_000)
    norm, before = ema.network.head_16, network.head_16
    torch.testing.assert_close(norm.bias, before.bias + 2.0)
    first = ema.network.squeeze.norm
    torch.testing.assert_close(first.running_mean, torch.full_like(first.running_mean, 2.0))
    assert first.num_batches_tracked == 4


def test_it_is_a_copy_that_neither_trains_nor_learns(network: Network) -> None:
    network.train()
    ema = ModelEMA(network, 0.9)
    assert network.training and not ema.network.training
    assert not any(parameter.requires_grad for parameter in ema.network.parameters())
    before = network.head_16.bias.detach().clone()
    ema.update(shifted(network, 1.0), 1)
    assert torch.equal(network.head_16.bias, before)
    assert not torch.equal(ema.network.head_16.bias, before)
