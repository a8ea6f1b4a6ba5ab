"""Initial weights: files of the independent Darknet reference, whole and cut, and models of other classes, widths and depths."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kd.data.anchors import COCO_ANCHORS
from kd.errors import InputError
from kd.model.build import Network, build_model
from kd.model.coco_names import COCO_NAMES
from kd.model.darknet import count_values, published_spec
from kd.model.initial_weights import PARTIAL, load_initial_weights
from kd.model.spec import ModelSpec
from kd.model.store import save_model
from tests.kd.model.darknet_reference import Layer, narrowed, random_values, run, tensor_shapes, yolov3, yolov3_tiny

CFG = {"yolov3": yolov3, "yolov3-tiny": yolov3_tiny}
LAYERS_OF_CUT = {"yolov3": 75, "yolov3-tiny": 15}
"""Layers of the cfg in darknet53.conv.74 (layers 0 to 74) and yolov3-tiny.conv.15 (0 to 14)."""
PUBLISHED_BYTES = {"yolov3": 162_482_580, "yolov3-tiny": 4 * 7_743_344 + 20}
HEADER = np.array([0, 2, 0], "<i4").tobytes() + np.array([0], "<i8").tobytes()
PICTURES = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def small(architecture: str, *classes: str) -> ModelSpec:
    width = 0.25 if architecture == "yolov3" else 0.5
    return replace(published_spec(architecture, classes), width=width, image_size=64)


def reference(architecture: str, classes: int, seed: int = 0) -> tuple[list[Layer], np.ndarray]:
    """Layers and random values of the network of `small`."""
    layers = narrowed(CFG[architecture](3 * (5 + classes)), small(architecture).width)
    return layers, random_values(layers, seed)


def cut_values(architecture: str, layers: list[Layer], values: np.ndarray) -> np.ndarray:
    first = layers[: LAYERS_OF_CUT[architecture]]
    return values[: sum(int(np.prod(shape)) for _, shape in tensor_shapes(first))]


def write(path: Path, values: np.ndarray) -> Path:
    path.write_bytes(HEADER + values.tobytes())
    return path


def outputs(network: Network) -> list[Tensor]:
    """The heads, in the order of the cfg."""
    with torch.no_grad():
        heads = network.eval()(PICTURES).heads
    return [heads[stride] for stride in sorted(heads, reverse=True)]


def assert_close(actual: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.std()))


@pytest.mark.parametrize("architecture", CFG)
def test_the_published_first_layers_have_their_size(architecture: str) -> None:
    with torch.device("meta"):
        network = build_model(published_spec(architecture, COCO_NAMES))
    parts = [count_values(getattr(network, name)) for name in PARTIAL[architecture]]
    first = CFG[architecture](255)[: LAYERS_OF_CUT[architecture]]
    assert sum(parts) * 4 + 20 == PUBLISHED_BYTES[architecture]
    assert sum(parts) == sum(int(np.prod(shape)) for _, shape in tensor_shapes(first))


@pytest.mark.parametrize("architecture", CFG)
def test_a_darknet_file_of_the_same_classes_gives_the_outputs_of_the_reference(architecture: str, tmp_path: Path) -> None:
    layers, values = reference(architecture, 80)
    network = build_model(spec := small(architecture, *COCO_NAMES))
    loaded = load_initial_weights(write(tmp_path / "x.weights", values), network, spec)
    assert_close(outputs(network), run(layers, values, PICTURES))
    assert loaded.anchors == COCO_ANCHORS[architecture]
    assert "classes 80 of 80 (person, bicycle, car, motorbike, aeroplane, ...)" in loaded.summary


@pytest.mark.parametrize("architecture", CFG)
def test_first_layers_give_the_features_of_the_reference_and_the_rest_starts_anew(architecture: str, tmp_path: Path) -> None:
    layers, values = reference(architecture, 2)
    network, fresh = (build_model(spec := small(architecture, "cat", "dog"), seed=3) for _ in range(2))
    loaded = load_initial_weights(write(tmp_path / "x.conv", cut_values(architecture, layers, values)), network, spec)
    last = layers[: LAYERS_OF_CUT[architecture]]  # its output is the feature that the network passes on
    with torch.no_grad():
        output = network.eval()(PICTURES)
    feature = output.backbone[32] if architecture == "yolov3" else output.neck[32]
    assert_close([feature], run([*last, ("yolo",)], cut_values(architecture, layers, values), PICTURES))
    others = {name: value for name, value in fresh.state_dict().items() if not name.startswith(PARTIAL[architecture])}
    assert others and all(torch.equal(network.state_dict()[name], value) for name, value in others.items())
    counts = {"yolov3": "backbone 260 of 260, neck 0 of 100, heads 0 of 6", "yolov3-tiny": "backbone 35 of 35, neck 10 of 20, heads 0 of 4"}
    assert loaded == (None, (), f"loaded tensors: {counts[architecture]}")


@pytest.mark.parametrize("architecture", CFG)
def test_classes_of_the_same_name_keep_their_rows_of_a_darknet_file(architecture: str, tmp_path: Path) -> None:
    layers, values = reference(architecture, 80)
    spec = small(architecture, "zebra", "unicorn", "person")
    network, fresh = (build_model(spec, seed=3) for _ in range(2))
    loaded = load_initial_weights(write(tmp_path / "x.weights", values), network, spec)
    expected = [head.view(3, 85, -1) for head in run(layers, values, PICTURES)]
    found = [head.view(3, 8, -1) for head in outputs(network)]
    rows = [0, 1, 2, 3, 4, 5 + COCO_NAMES.index("zebra"), 5]
    assert_close([head[:, [0, 1, 2, 3, 4, 5, 7]] for head in found], [head[:, rows] for head in expected])
    unicorn = [name for name, value in network.state_dict().items() if "head" in name and name.endswith("bias")]
    assert all(torch.equal(network.state_dict()[name].view(3, 8)[:, 6], fresh.state_dict()[name].view(3, 8)[:, 6]) for name in unicorn)
    assert loaded.classes == ("zebra", "person") and loaded.anchors and "; classes 2 of 3 (zebra, person)" in loaded.summary


@pytest.mark.parametrize("architecture", CFG)
def test_renamed_classes_keep_their_rows(architecture: str, tmp_path: Path) -> None:
    """Names may be swapped; a class that is not renamed keeps its name."""
    layers, values = reference(architecture, 80)
    network = build_model(spec := small(architecture, "motorcycle", "cat", "dog", "person"))
    renamed = {"motorbike": "motorcycle", "dog": "cat", "cat": "dog"}
    loaded = load_initial_weights(write(tmp_path / "x.weights", values), network, spec, renamed)
    expected = [head.view(3, 85, -1) for head in run(layers, values, PICTURES)]
    rows = [0, 1, 2, 3, 4, *(5 + COCO_NAMES.index(name) for name in ("motorbike", "dog", "cat", "person"))]
    assert_close([head.view(3, 9, -1) for head in outputs(network)], [head[:, rows] for head in expected])
    assert loaded.classes == spec.classes and loaded.anchors == COCO_ANCHORS[architecture]


@pytest.mark.parametrize(
    ("renamed", "classes", "words"),
    [
        ({"motorcycle": "cat"}, 80, r"has no class 'motorcycle' \(it has person, bicycle, car, motorbike, aeroplane, \.\.\.\)"),
        ({"motorbike": "motorcycle"}, 80, r"has a class 'motorbike', but the data have no class 'motorcycle' \(they have cat, dog\)"),
        ({"horse": "cat"}, 80, "has several classes for 'cat'"),
        ({"cow": "dog", "sheep": "dog", "dog": "cat"}, 80, "has several classes for 'dog'"),
        ({"a": "cat"}, 2, r"has no class 'a' \(the names of its classes are unknown\)"),
    ],
)
def test_a_class_that_cannot_be_renamed_is_one_error(renamed: dict[str, str], classes: int, words: str, tmp_path: Path) -> None:
    _, values = reference("yolov3-tiny", classes)
    network = build_model(spec := small("yolov3-tiny", "cat", "dog"))
    with pytest.raises(InputError, match=rf"x\.weights: {words}; correct the parameter classes, such as"):
        load_initial_weights(write(tmp_path / "x.weights", values), network, spec, renamed)
    assert_unchanged(network, spec)


@pytest.mark.parametrize(("architecture", "classes"), [("yolov3", 20), ("yolov3-tiny", 2)])
def test_heads_of_other_classes_start_anew(architecture: str, classes: int, tmp_path: Path) -> None:
    """The names in a file of 20 classes are unknown, even if the new network has as many."""
    _, values = reference(architecture, classes)
    network, fresh = (build_model(spec := small(architecture, "cat", "dog"), seed=3) for _ in range(2))
    loaded = load_initial_weights(write(tmp_path / "x.weights", values), network, spec)
    same = {name for name, value in fresh.state_dict().items() if torch.equal(network.state_dict()[name], value)}
    assert loaded.anchors is None and "heads 0 of " in loaded.summary
    assert {name for name in same if not name.endswith("num_batches_tracked")} == {name for name in fresh.state_dict() if "head" in name}


def test_a_model_of_the_same_classes_in_another_order_predicts_the_same(tmp_path: Path) -> None:
    anchors = {16: [(1, 2), (2, 2), (2, 3)], 32: [(3, 4), (4, 4), (4, 5)]}
    source = build_model(spec := replace(small("yolov3-tiny", "cat", "dog", "cow"), anchors=anchors), seed=1)
    save_model(tmp_path / "model.safetensors", source, spec)
    network = build_model(other := replace(spec, classes=("cow", "cat", "dog"), anchors={}), seed=2)
    loaded = load_initial_weights(tmp_path / "model.safetensors", network, other)
    order = [0, 1, 2, 3, 4, 7, 5, 6]
    found, expected = ([head.view(3, 8, -1) for head in outputs(one)] for one in (network, source))
    assert_close(found, [head[:, order] for head in expected])
    assert loaded.anchors == spec.anchors


@pytest.mark.parametrize(
    ("trained", "changes", "words"),
    [
        ("yolov3", {"width": 0.5}, "is a yolov3 of width 0.5 and depth 0.25, but the network to train is a yolov3 of width 0.125 and"),
        ("yolov3", {"depth": 0.125}, "is a yolov3 of width 0.125 and depth 0.125, but the network to train is a yolov3 of width 0.125 and"),
        ("yolov3-tiny", {}, "is a yolov3-tiny of width 0.125, but the network to train is a yolov3 of"),
    ],
)
def test_a_model_of_another_architecture_width_or_depth_is_one_error(
    trained: str, changes: dict[str, float], words: str, tmp_path: Path
) -> None:
    spec = replace(small("yolov3", "cat"), width=0.125, depth=0.25)
    other = replace(published_spec(trained, ("cat",)), width=0.125, depth=0.25)
    save_model(tmp_path / "m.safetensors", build_model(replace(other, **changes)), replace(other, **changes))
    network = build_model(spec)
    with pytest.raises(InputError, match=r"set the same architecture, width and depth") as error:
        load_initial_weights(tmp_path / "m.safetensors", network, spec)
    assert words in str(error.value)
    assert_unchanged(network, spec)


def assert_unchanged(network: Network, spec: ModelSpec) -> None:
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in build_model(spec).state_dict().items())


@pytest.mark.parametrize("architecture", CFG)
@pytest.mark.parametrize("change", [-1, 1, 200])
def test_another_number_of_values_is_one_error(architecture: str, change: int, tmp_path: Path) -> None:
    _, values = reference(architecture, 2)
    values = values[:change] if change < 0 else np.append(values, np.zeros(change, np.float32))
    network = build_model(spec := small(architecture, "cat", "dog"))
    with pytest.raises(InputError, match=r"neither a whole yolov3.* of width .* nor its published first layers") as error:
        load_initial_weights(write(tmp_path / "x.weights", values), network, spec)
    assert f"has {len(values):,} values" in str(error.value)
    assert_unchanged(network, spec)


@pytest.mark.parametrize("damage", [lambda v: v[::-1].copy(), lambda v: np.where(np.arange(len(v)) == 7, np.float32("nan"), v)])
def test_values_of_another_network_are_noticed(damage: object, tmp_path: Path) -> None:
    _, values = reference("yolov3-tiny", 2)
    network = build_model(spec := small("yolov3-tiny", "cat", "dog"))
    with pytest.raises(InputError, match=r"does not contain the values of a yolov3-tiny of width 0\.5"):
        load_initial_weights(write(tmp_path / "x.weights", damage(values)), network, spec)
    assert_unchanged(network, spec)


def test_a_missing_file_is_one_error(tmp_path: Path) -> None:
    spec = small("yolov3-tiny", "cat")
    for name in ("none.weights", "none.safetensors"):
        with pytest.raises(InputError, match="is missing"):
            load_initial_weights(tmp_path / name, build_model(spec), spec)
