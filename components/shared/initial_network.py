"""The network that a training starts from, if it does not start from random weights."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from components.runtime.execution import is_main_process
from components.shared.initial_weights import InitialWeights
from kd.data.anchors import Anchors
from kd.data.dataset import DetectionData
from kd.detection.assignment import shape_iou
from kd.detection.evaluate import NMSConfig, score_detector
from kd.errors import InputError, printable
from kd.model.build import Network, build_model
from kd.model.initial_weights import load_initial_weights
from kd.model.spec import ModelSpec
from kd.model.store import load_init_metadata


def describe_origin(source: InitialWeights, license: str, classes: Mapping[str, str]) -> dict[str, str]:
    """What a model's metadata and the tags of its run record about its initial weights.

    Returns:
        "init", "init_digest", and, if they are known, "init_license", "init_classes": the renamed `classes` as JSON, and "init_origin":
        the weights at the start of the chain, if the weights are those of a model that did not start from random weights itself.
    """
    before = load_init_metadata(source.file) if source.file.suffix == ".safetensors" else {}
    origin = before.get("init_origin") or (f"{before['init']} (SHA-256 {before['init_digest']})" if before else "")
    renamed = json.dumps(classes, sort_keys=True, ensure_ascii=False) if classes else ""
    known = {"init_license": license or before.get("init_license", ""), "init_classes": renamed, "init_origin": origin}
    return {"init": source.init, "init_digest": source.sha256, **{name: value for name, value in known.items() if value}}


def initial_network(
    source: InitialWeights, classes: Mapping[str, str], spec: ModelSpec, seed: int, title: str
) -> tuple[Network, ModelSpec, bool]:
    """The network that a training starts from, its spec, and whether the weights have all of its classes.

    The spec has the anchors of the weights if their heads were loaded.

    Args:
        source: the weights.
        classes: the name in the data of each class that the weights call otherwise.
        spec: the network, with the anchors of the data.
        seed: of the weights that are not loaded.
        title: the step's name, for the line that says what was loaded.

    Raises:
        InputError: if the file is broken, or that of another network, or a class in `classes` does not exist.
    """
    network = build_model(spec, seed)
    try:
        loaded = load_initial_weights(source.file, network, spec, classes)
    except InputError as error:
        raise InputError(source.init, *error.args[1:]) from None
    lines = [f"{title}: starts from {source.init}; {loaded.summary}"]
    if loaded.anchors and loaded.anchors != spec.anchors:
        iou = mean_best_iou(spec.anchors, loaded.anchors)
        lines.append(f"warning: the loaded heads keep their anchors, whose IoU with those of the data is {iou:.2f} on average")
        spec = replace(spec, anchors=loaded.anchors)
    if is_main_process():
        print(*map(printable, lines), sep="\n", file=sys.stderr)
    return network, spec, set(loaded.classes) == set(spec.classes)


def mean_best_iou(anchors: Anchors, others: Anchors) -> float:
    """The mean IoU, 0..1, of each of `anchors` with the best of `others` of any stride, if their centers are the same."""
    shapes, candidates = (torch.tensor([shape for group in groups.values() for shape in group]) for groups in (anchors, others))
    return float(shape_iou(shapes, candidates).amax(dim=1).mean())


def better_network(start: Network, trained: Network, trained_map: float, spec: ModelSpec, data: Path, title: str) -> Network:
    """The network with the higher mAP on the val split: the one that the training started from, or the trained one.

    Args:
        start: the initial network, which has the same classes.
        trained: the trained network.
        trained_map: its mAP on the val split.
        spec: the spec of both.
        data: output of prepare_data.
        title: the step's name, for the line that says so if the first one is better.
    """
    device = next(trained.parameters()).device
    start_map = score_detector(start.to(device), spec.anchors, DetectionData(data / "val", spec.image_size), NMSConfig()).map
    if start_map <= trained_map:
        return trained
    scores = f"their mAP on the val split is {start_map:.3f}, not {trained_map:.3f}"
    if is_main_process():
        print(f"{title}: keeps the initial weights, because {scores}", file=sys.stderr)
    return start
