"""The distillation's terms: which there are, what they weigh, and what of the teacher runs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kd.data.loader import Batch
from kd.detection.decode import candidates
from kd.distillation.channel_loss import ChannelLoss
from kd.distillation.feature_loss import FeatureLoss
from kd.distillation.loss import Distill, TapLoss, Teaching
from kd.distillation.map_generator import Cartographer, channel_statistics
from kd.distillation.tap_pairs import pair_taps
from kd.model.build import Network
from kd.model.spec import ModelSpec, Output
from tests.kd.train.squares import SIDE, spec_for

STRIDES = (8, 16, 32)
Teach = Callable[..., Teaching]


@pytest.fixture
def cartographer(teacher: Network, teacher_spec: ModelSpec, batch: Batch) -> Cartographer:
    statistics = channel_statistics(teacher, [batch.pictures], STRIDES)
    return Cartographer(teacher, teacher_spec, "activation", STRIDES, statistics)


@pytest.fixture
def mapped(batch: Batch, cartographer: Cartographer) -> Batch:
    """The batch with its maps, as the loader brings them."""
    return batch._replace(maps=cartographer(batch))


@pytest.fixture
def teach(teacher: Network, teacher_spec: ModelSpec, student: Network, batch: Batch) -> Teach:
    """A teaching with these settings; its adapters are always the same."""

    def build(maps: Cartographer | None = None, tap_loss: TapLoss | None = None, **settings: object) -> Teaching:
        distill = Distill(**settings)
        torch.manual_seed(0)
        statistics = channel_statistics(teacher, [batch.pictures], STRIDES)
        partners = pair_taps(student, teacher, distill.taps, distill.strides, SIDE)
        return Teaching(teacher, teacher_spec, spec_for(), distill, partners, statistics, maps, tap_loss)

    return build


def taught(teaching: Teaching, student: Output, batch: Batch, progress: float) -> dict[str, Tensor]:
    """As a training asks for them."""
    return teaching(student, candidates(student.heads, spec_for().anchors), teaching.look(batch), batch, progress)


@pytest.mark.parametrize(
    ("schedule", "values"), [("constant", (2, 2, 2, 2)), ("linear", (2, 1.5, 1, 0)), ("cosine", (2, 1 + 0.5**0.5, 1, 0))]
)
def test_lambda_goes_down_as_the_schedule_says(schedule: str, values: tuple[float, ...]) -> None:
    distill = Distill(weight=2.0, schedule=schedule)
    assert [distill.at(t) for t in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(values)


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        ({"taps": ()}, set()),
        ({"taps": ("backbone",)}, {f"distill_backbone_{stride}" for stride in STRIDES}),
        ({"taps": ("neck",)}, {f"distill_neck_{stride}" for stride in STRIDES}),
        ({"taps": ("neck",), "strides": (16, 32)}, {"distill_neck_16", "distill_neck_32"}),
        ({}, {f"distill_{part}_{stride}" for part in ("backbone", "neck") for stride in STRIDES}),
        ({"taps": (), "response": 0.5}, {"distill_response"}),
    ],
)
def test_taps_decide_the_terms(teach: Teach, student: Network, mapped: Batch, settings: dict, terms: set[str]) -> None:
    found = taught(teach(**settings), student(mapped.pictures), mapped, 0.0)
    assert set(found) == terms
    assert all(term > 0 for term in found.values())


def test_each_term_is_weighted(teach: Teach, student: Network, mapped: Batch) -> None:
    output = student(mapped.pictures)
    plain = taught(teach(), output, mapped, 0.0)
    weighted = taught(teach(weight=3.0, backbone=2.0, neck=0.5, schedule="linear", response=1.0), output, mapped, 0.25)
    for tap, term in plain.items():
        share = 2.0 if "backbone" in tap else 0.5
        torch.testing.assert_close(weighted[tap], 3.0 * 0.75 * share * term)
    torch.testing.assert_close(taught(teach(response=4.0), output, mapped, 0.9)["distill_response"], 4 * weighted["distill_response"])


def test_a_term_is_the_loss_of_its_tap_under_its_map(teach: Teach, teacher: Network, student: Network, mapped: Batch) -> None:
    teaching, output = teach(), student(mapped.pictures)
    with torch.no_grad():
        theirs = teacher(mapped.pictures).taps()
    for tap in ("backbone_16", "neck_32"):
        expected = teaching.losses[tap](output.taps()[tap], theirs[tap], mapped.maps[tap])
        torch.testing.assert_close(taught(teaching, output, mapped, 0.0)[f"distill_{tap}"], expected)


def test_a_finer_feature_is_learnt_by_the_finest_of_the_student(teach: Teach, teacher: Network, student: Network, mapped: Batch) -> None:
    teaching, output = teach(), student(mapped.pictures)
    with torch.no_grad():
        theirs = teacher(mapped.pictures).neck[8]
    expected = teaching.losses["neck_8"](output.neck[16], theirs, mapped.maps["neck_8"])
    torch.testing.assert_close(taught(teaching, output, mapped, 0.0)["distill_neck_8"], expected)


@pytest.mark.parametrize(("loss", "kind"), [("features", FeatureLoss), ("channels", ChannelLoss)])
def test_the_loss_is_chosen_by_name(teach: Teach, student: Network, mapped: Batch, loss: str, kind: type) -> None:
    teaching = teach(loss=loss)
    assert all(type(module) is kind for module in teaching.losses.values())
    assert all(term > 0 for term in taught(teaching, student(mapped.pictures), mapped, 0.0).values())


def test_another_loss_takes_the_place_of_ours(teach: Teach, student: Network, mapped: Batch) -> None:
    class Doubled(FeatureLoss):
        def forward(self, *features: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(*features)

    output = student(mapped.pictures)
    ours, other = taught(teach(), output, mapped, 0.0), taught(teach(tap_loss=Doubled), output, mapped, 0.0)
    assert ours.keys() == other.keys()
    for name, term in ours.items():
        torch.testing.assert_close(other[name], 2 * term)


def test_the_teacher_learns_nothing_and_is_not_saved(teach: Teach, teacher: Network, student: Network, mapped: Batch) -> None:
    teaching = teach(response=1.0)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    torch.stack(list(taught(teaching, student(mapped.pictures), mapped, 0.0).values())).sum().backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert student.backbone.to_16[0].convolution.weight.grad.abs().sum() > 0
    assert set(teaching.state_dict()) == {f"losses.{tap}.adapter.linear.{part}" for tap in mapped.maps for part in ("weight", "bias")}
    assert len(list(teaching.parameters())) == 2 * len(mapped.maps)
    teaching.train()
    assert not teacher.training


@pytest.mark.parametrize(
    ("settings", "live", "levels"),
    [
        ({"taps": ("neck",)}, False, {"8", "16", "32"}),
        ({"taps": ("neck",), "strides": (16, 32)}, False, {"16", "32"}),
        ({"taps": ("backbone",)}, False, set()),
        ({"taps": ("backbone",)}, True, {"8", "16", "32"}),
        ({}, True, {"8", "16", "32"}),
        ({"taps": (), "response": 1.0}, False, {"8", "16", "32"}),
    ],
)
def test_the_teacher_stops_at_the_last_level_that_is_used(
    teach: Teach,
    teacher: Network,
    student: Network,
    mapped: Batch,
    cartographer: Cartographer,
    settings: dict,
    live: bool,
    levels: set[str],
) -> None:
    ran = set()
    for name, module in teacher.levels.items():
        module.register_forward_hook(lambda *_, name=name: ran.add(name))
    teaching = teach(cartographer if live else None, **settings)
    ran.clear()
    taught(teaching, student(mapped.pictures), mapped._replace(maps={}) if live else mapped, 0.0)
    assert ran == levels


@pytest.mark.parametrize("method", ["activation", "gradient"])
def test_live_maps_are_those_that_a_batch_would_bring(
    teach: Teach, student: Network, batch: Batch, cartographer: Cartographer, method: str
) -> None:
    cartographer.method = method
    output = student(batch.pictures)
    stored = taught(teach(), output, batch._replace(maps=cartographer(batch)), 0.0)
    live = taught(teach(cartographer), output, batch, 0.0)
    assert live.keys() == stored.keys()
    for tap, term in live.items():
        torch.testing.assert_close(term, stored[tap], rtol=1e-4, atol=1e-6)


def test_maps_that_came_with_the_batch_go_first(teach: Teach, student: Network, mapped: Batch, cartographer: Cartographer) -> None:
    even = mapped._replace(maps={tap: torch.ones_like(importance) for tap, importance in mapped.maps.items()})
    output = student(mapped.pictures)
    with_even, with_stored = (taught(teach(cartographer), output, b, 0.0)["distill_neck_16"] for b in (even, mapped))
    assert (with_even - with_stored).abs() > 1e-3
