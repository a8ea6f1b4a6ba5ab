"""The terms of the distillation loss, and their weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kd.data.batch import Batch
from kd.detection.decode import flatten_heads
from kd.distillation.channel_loss import channel_loss
from kd.distillation.feature_loss import feature_loss
from kd.distillation.loss import DistillationLoss, DistillConfig, TapLoss
from kd.distillation.map_generator import InfoMapGenerator
from kd.distillation.statistics import Statistics, channel_statistics
from kd.distillation.tap_pairs import pair_taps
from kd.model.build import Network
from kd.model.spec import ModelSpec, Output, Tap, taps_at
from tests.kd.train.squares import SIDE, spec_for

STRIDES = (8, 16, 32)
Maps = dict[Tap, Tensor]
Build = Callable[..., DistillationLoss]


@pytest.fixture
def statistics(teacher: Network, batch: Batch) -> Statistics:
    return channel_statistics(teacher, [batch.pictures], STRIDES)


@pytest.fixture
def maps(teacher: Network, teacher_spec: ModelSpec, batch: Batch, statistics: Statistics) -> Maps:
    return InfoMapGenerator(teacher, teacher_spec, "activation", taps_at(STRIDES), statistics)(batch)


@pytest.fixture
def build(teacher_spec: ModelSpec, student: Network, statistics: Statistics) -> Build:
    """A loss with these settings; its adapters always have the same weights."""

    def build(tap_loss: TapLoss | None = None, **settings: object) -> DistillationLoss:
        config = DistillConfig(**settings)
        torch.manual_seed(0)
        pairs = pair_taps(student, STRIDES, config.taps, config.strides, SIDE)
        return DistillationLoss(pairs, statistics, config, teacher_spec, spec_for(), tap_loss)

    return build


@pytest.fixture
def terms(teacher: Network, student: Network, batch: Batch, maps: Maps) -> Callable[..., dict[str, Tensor]]:
    """The terms of a loss, as a training computes them."""
    with torch.no_grad():
        teacher_output = teacher(batch.pictures)

    def terms(loss: DistillationLoss, output: Output | None = None, progress: float = 0.0) -> dict[str, Tensor]:
        output = output or student(batch.pictures)
        return loss(output, flatten_heads(output.heads, spec_for().anchors), teacher_output, maps, batch, progress)

    return terms


@pytest.mark.parametrize(
    ("schedule", "values"), [("constant", (2, 2, 2, 2)), ("linear", (2, 1.5, 1, 0)), ("cosine", (2, 1 + 0.5**0.5, 1, 0))]
)
def test_lambda_follows_the_schedule(schedule: str, values: tuple[float, ...]) -> None:
    config = DistillConfig(weight=2.0, schedule=schedule)
    assert [config.weight_at(t) for t in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(values)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"taps": ()}, set()),
        ({"taps": ("backbone",)}, {f"distill_backbone_{stride}" for stride in STRIDES}),
        ({"taps": ("neck",)}, {f"distill_neck_{stride}" for stride in STRIDES}),
        ({"taps": ("neck",), "strides": (16, 32)}, {"distill_neck_16", "distill_neck_32"}),
        ({}, {f"distill_{part}_{stride}" for part in ("backbone", "neck") for stride in STRIDES}),
        ({"taps": (), "response": 0.5}, {"distill_response"}),
    ],
)
def test_the_settings_decide_the_terms(build: Build, terms: Callable, settings: dict, expected: set[str]) -> None:
    found = terms(build(**settings))
    assert set(found) == expected
    assert all(term > 0 for term in found.values())


def test_each_term_is_weighted(build: Build, terms: Callable, student: Network, batch: Batch) -> None:
    output = student(batch.pictures)
    plain = terms(build(), output)
    weighted = terms(build(weight=3.0, backbone=2.0, neck=0.5, schedule="linear", response=1.0), output, 0.25)
    for name, term in plain.items():
        torch.testing.assert_close(weighted[name], 3.0 * 0.75 * (2.0 if "backbone" in name else 0.5) * term)
    torch.testing.assert_close(terms(build(response=4.0), output, 0.9)["distill_response"], 4 * weighted["distill_response"])


@pytest.mark.parametrize(("teacher_tap", "student_tap"), [("backbone_16", "backbone_16"), ("neck_32", "neck_32"), ("neck_8", "neck_16")])
def test_a_term_is_the_loss_of_its_tap_with_its_map(
    build: Build,
    terms: Callable,
    teacher: Network,
    student: Network,
    batch: Batch,
    maps: Maps,
    statistics: Statistics,
    teacher_tap: str,
    student_tap: str,
) -> None:
    """A tap finer than the student's finest is learned by that one."""
    loss, output = build(), student(batch.pictures)
    with torch.no_grad():
        features = {str(tap): feature for tap, feature in teacher(batch.pictures).taps().items()}
    ours = {str(tap): feature for tap, feature in output.taps().items()}
    (tap,) = (tap for tap in maps if str(tap) == teacher_tap)
    expected = feature_loss(loss.adapters[teacher_tap](ours[student_tap]), features[teacher_tap], maps[tap], statistics[tap])
    torch.testing.assert_close(terms(loss, output)[f"distill_{teacher_tap}"], expected)


@pytest.mark.parametrize(("name", "function"), [("features", feature_loss), ("channels", channel_loss)])
def test_the_loss_is_chosen_by_name(build: Build, terms: Callable, name: str, function: TapLoss) -> None:
    assert build(loss=name).tap_loss is function
    assert all(term > 0 for term in terms(build(loss=name)).values())


def test_another_loss_replaces_ours(build: Build, terms: Callable, student: Network, batch: Batch) -> None:
    output = student(batch.pictures)
    ours, other = terms(build(), output), terms(build(lambda *features: 2 * feature_loss(*features)), output)
    assert ours.keys() == other.keys()
    for name, term in ours.items():
        torch.testing.assert_close(other[name], 2 * term)


def test_the_student_and_the_adapters_learn(build: Build, terms: Callable, student: Network, teacher: Network) -> None:
    loss = build(response=1.0)
    torch.stack(list(terms(loss).values())).sum().backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert student.backbone.to_16[0].convolution.weight.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in loss.parameters())
    assert set(loss.state_dict()) == {f"adapters.{tap}.linear.{part}" for tap in taps_at(STRIDES) for part in ("weight", "bias")}
