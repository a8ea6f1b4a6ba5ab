from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kd.errors import InputError
from kd.model.build import build_model
from kd.model.coco_names import COCO_NAMES
from kd.model.darknet import published_spec, read_weights, write_weights
from kd.model.spec import ModelSpec
from kd.model.store import save_model
from tests.kd.model.darknet_reference import Layer, narrowed, random_values, run, tensor_shapes, yolov3, yolov3_tiny

CFG = {"yolov3": yolov3, "yolov3-tiny": yolov3_tiny}
HEADER = np.array([0, 2, 5], "<i4").tobytes() + np.array([32013312], "<i8").tobytes()


def narrow(architecture: str) -> tuple[ModelSpec, list[Layer]]:
    """The published network for two classes, with few channels."""
    width = 0.25 if architecture == "yolov3" else 0.5
    return replace(published_spec(architecture, ("cat", "dog")), width=width, image_size=64), narrowed(CFG[architecture](21), width)


@pytest.mark.parametrize(("architecture", "values"), [("yolov3", 62_001_757), ("yolov3-tiny", 8_858_734)])
def test_the_reference_has_as_many_values_as_the_released_files(architecture: str, values: int) -> None:
    assert sum(int(np.prod(shape)) for _, shape in tensor_shapes(CFG[architecture](255))) == values


@pytest.mark.parametrize("architecture", CFG)
def test_a_file_fills_the_network_in_the_order_of_the_cfg(architecture: str, tmp_path: Path) -> None:
    spec, layers = narrow(architecture)
    values = random_values(layers, seed=0)
    (tmp_path / "x.weights").write_bytes(HEADER + values.tobytes())
    network = build_model(spec).eval()
    read_weights(tmp_path / "x.weights", network)
    pictures = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        heads = network(pictures).heads
        expected = run(layers, values, pictures)
    assert [heads[stride].shape for stride in sorted(heads, reverse=True)] == [head.shape for head in expected]
    for stride, head in zip(sorted(heads, reverse=True), expected, strict=True):
        torch.testing.assert_close(heads[stride], head, rtol=1e-3, atol=1e-3 * float(head.std()))


@pytest.mark.parametrize("architecture", CFG)
def test_writing_gives_back_the_bytes_that_were_read(architecture: str, tmp_path: Path) -> None:
    spec, layers = narrow(architecture)
    content = np.array([0, 2, 0], "<i4").tobytes() + np.array([7], "<i8").tobytes() + random_values(layers, seed=1).tobytes()
    (tmp_path / "in.weights").write_bytes(content)
    network = build_model(spec)
    read_weights(tmp_path / "in.weights", network)
    write_weights(tmp_path / "out.weights", network, seen=7)
    assert (tmp_path / "out.weights").read_bytes() == content


@pytest.mark.parametrize(("version", "counter"), [((0, 1, 0), "<i4"), ((0, 2, 0), "<i8"), ((1, 0, 0), "<i8")])
def test_every_version_of_the_header_is_read(version: tuple[int, int, int], counter: str, tmp_path: Path) -> None:
    spec, layers = narrow("yolov3-tiny")
    values = random_values(layers, seed=2)
    header = np.array(version, "<i4").tobytes() + np.array([1], counter).tobytes()
    (tmp_path / "x.weights").write_bytes(header + values.tobytes())
    network = build_model(spec)
    read_weights(tmp_path / "x.weights", network)
    write_weights(tmp_path / "y.weights", network)
    assert (tmp_path / "y.weights").read_bytes()[20:] == values.tobytes()


def test_a_file_of_another_format_is_not_read_as_values(tmp_path: Path) -> None:
    network = build_model(spec := narrow("yolov3-tiny")[0])
    save_model(tmp_path / "model.safetensors", network, spec)
    torch.save({"x": torch.zeros(9)}, tmp_path / "model.pt")
    for name in ("model.safetensors", "model.pt"):
        renamed = (tmp_path / name).rename(tmp_path / "x.weights")
        with pytest.raises(InputError, match=r"is not a \.weights file of Darknet; .* ends in \.safetensors"):
            read_weights(renamed, network)


@pytest.mark.parametrize("change", [-1, 1, -5000])
def test_a_file_of_another_length_is_rejected_and_the_network_is_unchanged(change: int, tmp_path: Path) -> None:
    spec, layers = narrow("yolov3-tiny")
    values = random_values(layers, seed=3)
    values = values[:change] if change < 0 else np.append(values, np.float32(0))
    (tmp_path / "x.weights").write_bytes(HEADER + values.tobytes())
    network = build_model(spec)
    with pytest.raises(InputError, match=f"has {len(values):,} values, but the network has {len(values) - change:,}"):
        read_weights(tmp_path / "x.weights", network)
    fresh = build_model(spec).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in network.state_dict().items())


def test_missing_and_short_files_are_rejected(tmp_path: Path) -> None:
    network = build_model(narrow("yolov3-tiny")[0])
    (tmp_path / "stub.weights").write_bytes(b"stub")
    (tmp_path / "cut.weights").write_bytes(HEADER + b"123")
    for name, problem in (("none.weights", "missing"), ("stub.weights", "too short"), ("cut.weights", "ends within a value")):
        with pytest.raises(InputError, match=problem):
            read_weights(tmp_path / name, network)


def test_released_tiny_weights_have_other_anchors_than_their_cfg() -> None:
    released, cfg = (published_spec("yolov3-tiny", COCO_NAMES, anchors) for anchors in ("released", "cfg"))
    assert released.anchors[16] == [(23, 27), (37, 58), (81, 82)]  # masks 1,2,3
    assert cfg.anchors[16] == [(10, 14), (23, 27), (37, 58)]  # masks 0,1,2
    assert released.anchors[32] == cfg.anchors[32]
    assert published_spec("yolov3", COCO_NAMES, "cfg") == published_spec("yolov3", COCO_NAMES)
