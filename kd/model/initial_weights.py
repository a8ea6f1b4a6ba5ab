"""Initial weights: whatever of a file fits is loaded into a network, the rest keeps its random initialization.

The file is a model.safetensors, a Darknet .weights file of a whole network, or one of the published Darknet files that end after
some of the layers: darknet53.conv.74 (the backbone of yolov3) and yolov3-tiny.conv.15 (all of yolov3-tiny up to its first head).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kd.data.anchors import Anchors
from kd.errors import InputError
from kd.model.blocks import Head
from kd.model.build import Network, build_model
from kd.model.coco_names import COCO_NAMES
from kd.model.darknet import assign_values, count_values, published_spec, read_values
from kd.model.limits import MAX_CLASSES
from kd.model.spec import Architecture, ModelSpec
from kd.model.store import load_model

PARTIAL: dict[Architecture, tuple[str, ...]] = {"yolov3": ("backbone",), "yolov3-tiny": ("backbone", "squeeze", "neck_32")}
"""The modules in darknet53.conv.74 and yolov3-tiny.conv.15, which `darknet partial` cuts from whole networks."""
MAX_LISTED = 5
FIRST_CLASS = 5
"""The row of the first class among the rows of a head for one anchor: after four box coordinates and objectness."""


class LoadedWeights(NamedTuple):
    """What was loaded.

    Attributes:
        anchors: the anchors of the file, if its heads were loaded.
        classes: the classes that were loaded with the heads.
        summary: the numbers of tensors that were loaded, in words.
    """

    anchors: Anchors | None
    classes: tuple[str, ...]
    summary: str


class _Weights(NamedTuple):
    """The tensors of a file by their names in the network, its classes, () if unknown, and its anchors."""

    tensors: dict[str, Tensor]
    classes: tuple[str, ...]
    anchors: Anchors


@torch.no_grad()
def load_initial_weights(path: Path, network: Network, spec: ModelSpec, renamed: Mapping[str, str] | None = None) -> LoadedWeights:
    """Load the weights in `path` that fit into `network`.

    Heads are loaded if the file has classes of the same names: then the rows of these classes, of the boxes and of objectness. All
    other rows, and heads without a common class, keep their values. A Darknet file with 80 classes has those of COCO; the class
    names of others are unknown.

    Args:
        path: the file.
        network: is changed in place.
        spec: its spec.
        renamed: the name in `spec` of each class that the file calls otherwise.

    Raises:
        InputError: before `network` is changed, if the file is missing or broken, or is that of another architecture, width or depth,
            or a class in `renamed` does not exist.
    """
    weights = _read_model(path, network, spec) if path.suffix == ".safetensors" else _read_darknet(path, spec)
    if not all(_is_plausible(name, tensor) for name, tensor in weights.tensors.items()):
        problem = f"does not contain the values of a {_describe(spec)}: some are not finite, or a variance is negative"
        raise InputError(path, problem, "check architecture, width and depth, or choose an intact file")
    classes = _rename_classes(path, weights.classes, renamed or {}, spec)
    common = {name: classes.index(name) for name in spec.classes if name in classes}
    heads = _head_tensors(network)
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    loaded = [name for name in own if name in weights.tensors and (common or name not in heads)]
    for name in loaded:
        if name in heads:
            _copy_rows(own[name], weights.tensors[name], {spec.classes.index(name): row for name, row in common.items()})
        else:
            own[name].copy_(weights.tensors[name])
    return LoadedWeights(weights.anchors if common else None, tuple(common), _summary(own, loaded, heads, [*common], spec))


def _rename_classes(path: Path, classes: tuple[str, ...], renamed: Mapping[str, str], spec: ModelSpec) -> tuple[str, ...]:
    """The classes of the file `path`, by the names of `spec`."""
    new = tuple(renamed.get(name, name) for name in classes)
    for name, target in renamed.items():
        if name not in classes:
            problem = f"has no class '{name}' ({f'it has {_list(classes)}' if classes else 'the names of its classes are unknown'})"
        elif target not in spec.classes:
            problem = f"has a class '{name}', but the data have no class '{target}' (they have {_list(spec.classes)})"
        elif new.count(target) > 1:
            problem = f"has several classes for '{target}'"
        else:
            continue
        raise InputError(path, problem, "correct the parameter classes, such as {motorbike: motorcycle} if the data have motorcycle")
    return new


def _copy_rows(own: Tensor, other: Tensor, rows: dict[int, int]) -> None:
    """Copy box, objectness and class rows of each anchor from `other` to `own`; `rows` has the index of each common class in both."""
    target, source = (tensor.view(3, -1, *tensor.shape[1:]) for tensor in (own, other))
    target[:, :FIRST_CLASS] = source[:, :FIRST_CLASS]
    for own_row, other_row in rows.items():
        target[:, FIRST_CLASS + own_row] = source[:, FIRST_CLASS + other_row]


def _read_model(path: Path, network: Network, spec: ModelSpec) -> _Weights:
    other, other_spec = load_model(path)
    if _shapes_without_heads(other) != _shapes_without_heads(network):
        problem = f"is a {_describe(other_spec)}, but the network to train is a {_describe(spec)}"
        raise InputError(path, problem, "set the same architecture, width and depth, or choose other weights")
    return _Weights(other.state_dict(), other_spec.classes, other_spec.anchors)


def _read_darknet(path: Path, spec: ModelSpec) -> _Weights:
    values = read_values(path)
    network = build_model(spec)
    parts: list[nn.Module] = [getattr(network, name) for name in PARTIAL[spec.architecture]]
    prefixes, classes = PARTIAL[spec.architecture], 0
    if len(values) != sum(map(count_values, parts)):
        classes = _count_classes(path, len(values), network, spec)
        network = build_model(replace(spec, classes=tuple(map(str, range(classes)))))
        prefixes, parts = ("",), [network]
    assign_values(parts, values)
    tensors = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(prefixes)}
    published = published_spec(spec.architecture, COCO_NAMES)
    return _Weights(tensors, COCO_NAMES if classes == len(COCO_NAMES) else (), published.anchors)


def _count_classes(path: Path, values: int, template: Network, spec: ModelSpec) -> int:
    """The number of classes with which the network has this number of `values`."""
    per_class = sum(3 * (module.in_channels + 1) for module in template.modules() if isinstance(module, Head))
    without_classes = count_values(template) - per_class * len(spec.classes)
    classes, rest = divmod(values - without_classes, per_class)
    if rest or not 1 <= classes <= MAX_CLASSES:
        partial = sum(count_values(getattr(template, name)) for name in PARTIAL[spec.architecture])
        whole = f"neither a whole {_describe(spec)} ({without_classes:,}, and {per_class:,} for each class)"
        problem = f"has {values:,} values, which is {whole} nor its published first layers ({partial:,})"
        raise InputError(path, problem, "check architecture, width and depth, or download it again")
    return classes


def _shapes_without_heads(network: Network) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items() if name not in _head_tensors(network)}


def _head_tensors(network: Network) -> list[str]:
    return [f"{name}.{kind}" for name, module in network.named_modules() if isinstance(module, Head) for kind in ("weight", "bias")]


def _is_plausible(name: str, tensor: Tensor) -> bool:
    """Whether the values are finite, and not negative if they are variances: those of another network are, sooner or later."""
    return bool(torch.isfinite(tensor).all()) and not (name.endswith("running_var") and bool((tensor < 0).any()))


def _describe(spec: ModelSpec) -> str:
    return f"{spec.architecture} of width {spec.width:g}" + (f" and depth {spec.depth:g}" if spec.architecture == "yolov3" else "")


def _summary(own: Iterable[str], loaded: list[str], heads: list[str], classes: list[str], spec: ModelSpec) -> str:
    """Such as "loaded tensors: backbone 260 of 260, neck 100 of 100, heads 6 of 6; classes 2 of 3 (dog, cat)"."""

    def part(name: str) -> str:
        return "heads" if name in heads else "backbone" if name.startswith("backbone") else "neck"

    total, found = Counter(map(part, own)), Counter(map(part, loaded))
    counts = ", ".join(f"{name} {found[name]} of {total[name]}" for name in ("backbone", "neck", "heads"))
    return f"loaded tensors: {counts}" + (f"; classes {len(classes)} of {len(spec.classes)} ({_list(classes)})" if classes else "")


def _list(classes: Sequence[str]) -> str:
    return ", ".join(classes[:MAX_LISTED]) + (", ..." if len(classes) > MAX_LISTED else "")
