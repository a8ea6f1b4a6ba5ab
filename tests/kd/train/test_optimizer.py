"""Weight decay applies to kernels only."""

import pytest
import torch

from kd.model.build import build_model
from kd.train.config import TrainConfig
from kd.train.optimizer import build_optimizer
from tests.kd.train.squares import spec_for


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_only_kernels_decay(name: str, kind: type) -> None:
    network = build_model(spec_for())
    optimizer = build_optimizer(network, TrainConfig(1, optimizer=name, weight_decay=0.1))
    assert isinstance(optimizer, kind)
    kernels, others = optimizer.param_groups
    assert kernels["weight_decay"] == 0.1 and {p.ndim for p in kernels["params"]} == {4}
    assert others["weight_decay"] == 0.0 and {p.ndim for p in others["params"]} == {1}
    assert len(kernels["params"]) + len(others["params"]) == len(list(network.parameters()))


def test_the_backbone_has_its_own_groups_if_its_learning_rate_differs() -> None:
    network = build_model(spec_for())
    for config in (TrainConfig(1, backbone_lr=0.1), TrainConfig(1, freeze_epochs=1)):
        groups = build_optimizer(network, config).param_groups
        names = {id(p): name for name, p in network.named_parameters()}
        assert [group["is_backbone"] for group in groups] == [False, False, True, True]
        assert all(names[id(p)].startswith("backbone.") == group["is_backbone"] for group in groups for p in group["params"])
        assert sum(len(group["params"]) for group in groups) == len(names)
