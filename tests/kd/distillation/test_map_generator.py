"""Information maps computed from a teacher: their shapes and values, and that the teacher is left as it was."""

import pytest
import torch

from kd.data.batch import Batch
from kd.detection.decode import flatten_heads
from kd.detection.loss import DetectionLoss
from kd.distillation import info_map
from kd.distillation.map_generator import InfoMapGenerator
from kd.distillation.statistics import Statistics, channel_statistics
from kd.model.build import Network
from kd.model.spec import ModelSpec, Tap, taps_at
from kd.train.multi_scale import resize_batch

STRIDES = (16, 32)
TAPS = taps_at(STRIDES)


@pytest.fixture
def statistics(teacher: Network, batch: Batch) -> Statistics:
    return channel_statistics(teacher, [batch.pictures], STRIDES)


@pytest.mark.parametrize("larger", [False, True])
@pytest.mark.parametrize("method", info_map.METHODS)
def test_every_method_gives_a_map_at_every_tap(
    teacher: Network, teacher_spec: ModelSpec, batch: Batch, statistics: Statistics, method: str, larger: bool
) -> None:
    """Also for pictures of another size than the teacher's."""
    size = teacher_spec.image_size * (2 if larger else 1)
    maps = InfoMapGenerator(teacher, teacher_spec, method, TAPS, statistics)(resize_batch(batch, size))
    assert list(maps) == TAPS
    for tap, values in maps.items():
        side = size // tap.stride
        assert values.shape == (8, side, side) and values.dtype == torch.float32
        assert not values.requires_grad
        torch.testing.assert_close(values.mean(dim=(1, 2)), torch.ones(8))
        assert method == "uniform" or values.std() > 0.01


@pytest.mark.parametrize("method", info_map.METHODS)
def test_a_given_output_is_used(teacher: Network, teacher_spec: ModelSpec, batch: Batch, statistics: Statistics, method: str) -> None:
    generator = InfoMapGenerator(teacher, teacher_spec, method, TAPS, statistics)
    with torch.no_grad():
        given = generator(batch, teacher(batch.pictures))
    for tap, values in generator(batch).items():
        torch.testing.assert_close(given[tap], values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", info_map.METHODS)
def test_the_teacher_stays_as_it_was(teacher: Network, teacher_spec: ModelSpec, batch: Batch, statistics: Statistics, method: str) -> None:
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    InfoMapGenerator(teacher, teacher_spec, method, TAPS, statistics)(batch)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert batch.pictures.grad is None and not batch.pictures.requires_grad


def test_gradients_are_those_of_the_teachers_detection_loss(teacher: Network, teacher_spec: ModelSpec, batch: Batch) -> None:
    kept = {}
    teacher.levels["16"].last.register_forward_hook(lambda module, inputs, output: kept.update(feature=output))
    output = teacher(batch.pictures)
    kept["feature"].retain_grad()
    torch.stack(
        list(DetectionLoss(teacher_spec.anchors)(flatten_heads(output.heads, teacher_spec.anchors), batch).values())
    ).sum().backward()
    expected = info_map.gradient(kept["feature"].detach(), kept["feature"].grad)
    teacher.zero_grad(set_to_none=True)
    torch.testing.assert_close(InfoMapGenerator(teacher, teacher_spec, "gradient", taps_at((16,)))(batch)[Tap("neck", 16)], expected)


def test_an_unknown_method_is_an_error(teacher: Network, teacher_spec: ModelSpec, batch: Batch) -> None:
    with pytest.raises(ValueError, match="unknown method: guess"):
        InfoMapGenerator(teacher, teacher_spec, "guess", TAPS)(batch)
