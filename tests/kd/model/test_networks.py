from dataclasses import replace

import pytest
import torch

from kd.model.build import build_model, count_parameters
from kd.model.darknet import published_spec
from kd.model.spec import ModelSpec

CLASSES = tuple(f"class {k}" for k in range(80))


def small(architecture: str, **changes: object) -> ModelSpec:
    return replace(published_spec(architecture, ("cat", "dog", "cow")), width=0.125, depth=0.25, **changes)


@pytest.mark.parametrize(
    ("architecture", "values", "trainable"), [("yolov3", 62_001_757, 61_949_149), ("yolov3-tiny", 8_858_734, 8_852_366)]
)
def test_the_published_networks_have_their_published_size(architecture: str, values: int, trainable: int) -> None:
    with torch.device("meta"):
        network = build_model(published_spec(architecture, CLASSES))
    state = network.state_dict()
    assert sum(value.numel() for name, value in state.items() if not name.endswith("num_batches_tracked")) == values
    assert count_parameters(network) == trainable


@pytest.mark.parametrize(
    ("architecture", "backbone", "neck"),
    [
        ("yolov3", {8: 256, 16: 512, 32: 1024}, {8: 256, 16: 512, 32: 1024}),
        ("yolov3-tiny", {16: 256, 32: 1024}, {16: 256, 32: 512}),
    ],
)
def test_heads_and_taps_have_their_published_shapes(architecture: str, backbone: dict[int, int], neck: dict[int, int]) -> None:
    with torch.device("meta"):
        output = build_model(published_spec(architecture, CLASSES))(torch.empty(2, 3, 416, 416))
    expected = {f"backbone_{s}": (2, c, 416 // s, 416 // s) for s, c in backbone.items()}
    expected |= {f"neck_{s}": (2, c, 416 // s, 416 // s) for s, c in neck.items()}
    assert {str(tap): tuple(feature.shape) for tap, feature in output.taps().items()} == expected
    assert {s: tuple(head.shape) for s, head in output.heads.items()} == {s: (2, 255, 416 // s, 416 // s) for s in neck}


@pytest.mark.parametrize(("strides", "levels"), [((16, 32), {16, 32}), ((32,), {32}), ((16,), {16, 32}), ((), set())])
def test_skipped_levels_do_not_change_the_others(strides: tuple[int, ...], levels: set[int]) -> None:
    network = build_model(small("yolov3")).eval()
    pictures = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        whole, part = network(pictures), network(pictures, strides)
    assert set(part.heads) == set(part.neck) == levels
    for one, other in zip(part, whole, strict=True):
        assert all(torch.equal(value, other[stride]) for stride, value in one.items())


@pytest.mark.parametrize("architecture", ["yolov3", "yolov3-tiny"])
def test_weights_depend_on_the_seed_only(architecture: str) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build_model(small(architecture), seed=1).state_dict()
    assert torch.equal(torch.rand(3), expected)  # build_model does not change the global random state
    second, other = (build_model(small(architecture), seed=seed).state_dict() for seed in (1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_width_scales_every_channel_and_depth_the_residual_blocks() -> None:
    with torch.device("meta"):
        wide, narrow = (build_model(replace(published_spec("yolov3", CLASSES), width=width)) for width in (1.0, 0.5))
        shallow = build_model(replace(published_spec("yolov3", CLASSES), depth=0.5))
        taps = [network(torch.empty(1, 3, 64, 64)).taps() for network in (wide, narrow, shallow)]
    assert all(taps[1][name].shape[1] * 2 == tap.shape[1] for name, tap in taps[0].items())
    assert all(taps[2][name].shape == tap.shape for name, tap in taps[0].items())
    assert [len(stage) - 1 for stage in wide.backbone.stages] == [1, 2, 8, 8, 4]
    assert [len(stage) - 1 for stage in shallow.backbone.stages] == [1, 1, 4, 4, 2]


@pytest.mark.parametrize("architecture", ["yolov3", "yolov3-tiny"])
def test_a_new_network_predicts_low_objectness(architecture: str) -> None:
    with torch.no_grad():
        heads = build_model(small(architecture)).eval()(torch.rand(1, 3, 64, 64)).heads
    objectness = torch.cat([head.view(1, 3, 8, -1)[:, :, 4].flatten() for head in heads.values()]).sigmoid()
    assert 0.002 < float(objectness.mean()) < 0.05
