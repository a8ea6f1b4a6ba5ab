"""Maps from a teacher: statistics, shapes, and a teacher that stays as it was."""

import numpy as np
import pytest
import torch

from kd.data.loader import Batch
from kd.detection.decode import candidates
from kd.detection.loss import DetectionLoss
from kd.distillation import info_map
from kd.distillation.map_generator import Cartographer, Statistics, channel_statistics, tap_names
from kd.model.build import Network
from kd.model.spec import ModelSpec

STRIDES = (16, 32)


@pytest.fixture
def statistics(teacher: Network, batch: Batch) -> Statistics:
    return channel_statistics(teacher, [batch.pictures], STRIDES)


@pytest.mark.parametrize("sizes", [[8], [3, 5], [1] * 8])
def test_channel_statistics_are_those_of_all_places_however_they_are_split(teacher: Network, batch: Batch, sizes: list[int]) -> None:
    found = channel_statistics(teacher, batch.pictures.split(sizes), STRIDES)
    with torch.no_grad():
        taps = teacher(batch.pictures).taps()
    assert list(found) == ["backbone_16", "backbone_32", "neck_16", "neck_32"]
    for tap, (mean, deviation) in found.items():
        values = taps[tap].double().numpy()
        np.testing.assert_allclose(mean.numpy(), values.mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(deviation.numpy(), values.std(axis=(0, 2, 3)), rtol=1e-4, atol=1e-6)


def test_a_constant_channel_has_a_deviation_that_can_be_divided_by(teacher: Network, batch: Batch) -> None:
    with torch.no_grad():
        teacher.levels["32"].last.norm.weight[0] = 0.0
    assert channel_statistics(teacher, [batch.pictures], STRIDES)["neck_32"][1].min() > 0


@pytest.mark.parametrize("method", info_map.METHODS)
def test_every_reading_gives_a_map_at_every_tap(
    teacher: Network, teacher_spec: ModelSpec, batch: Batch, statistics: Statistics, method: str
) -> None:
    maps = Cartographer(teacher, teacher_spec, method, STRIDES, statistics)(batch)
    assert sorted(maps) == sorted(tap_names(STRIDES))
    for tap, importance in maps.items():
        side = teacher_spec.image_size // int(tap.split("_")[1])
        assert importance.shape == (8, side, side) and importance.dtype == torch.float32
        assert not importance.requires_grad
        torch.testing.assert_close(importance.mean(dim=(1, 2)), torch.ones(8))
        assert method == "uniform" or importance.std() > 0.01


@pytest.mark.parametrize("method", info_map.METHODS)
def test_draw_gives_the_same_from_an_output_that_is_there(
    teacher: Network, teacher_spec: ModelSpec, batch: Batch, statistics: Statistics, method: str
) -> None:
    cartographer = Cartographer(teacher, teacher_spec, method, STRIDES, statistics)
    with torch.no_grad():
        drawn = cartographer.draw(teacher(batch.pictures), batch)
    for tap, importance in cartographer(batch).items():
        torch.testing.assert_close(drawn[tap], importance, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", info_map.METHODS)
def test_the_teacher_stays_as_it_was(teacher: Network, teacher_spec: ModelSpec, batch: Batch, statistics: Statistics, method: str) -> None:
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    Cartographer(teacher, teacher_spec, method, STRIDES, statistics)(batch)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert batch.pictures.grad is None and not batch.pictures.requires_grad


def test_gradients_are_those_of_the_teachers_detection_loss(teacher: Network, teacher_spec: ModelSpec, batch: Batch) -> None:
    kept = {}
    teacher.levels["16"].last.register_forward_hook(lambda module, inputs, output: kept.update(feature=output))
    output = teacher(batch.pictures)
    kept["feature"].retain_grad()
    torch.stack(
        list(DetectionLoss(teacher_spec.anchors, teacher_spec.image_size)(candidates(output.heads, teacher_spec.anchors), batch).values())
    ).sum().backward()
    expected = info_map.gradient(kept["feature"].detach(), kept["feature"].grad)
    teacher.zero_grad(set_to_none=True)
    torch.testing.assert_close(Cartographer(teacher, teacher_spec, "gradient", (16,))(batch)["neck_16"], expected)


def test_an_unknown_reading_is_refused(teacher: Network, teacher_spec: ModelSpec, batch: Batch) -> None:
    with pytest.raises(ValueError, match="no such method: guess"):
        Cartographer(teacher, teacher_spec, "guess", STRIDES)(batch)
