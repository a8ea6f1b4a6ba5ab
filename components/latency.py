"""How long a detector takes for one picture."""

import statistics
import time
from pathlib import Path

import torch

from kd.detection.decode import decode, select
from kd.detection.evaluate import Selection
from kd.model.build import Network
from kd.model.spec import ModelSpec
from kd.model.store import load_model

WARM_UP, ROUNDS = 3, 20


def latencies(models: dict[str, Path], rounds: int = ROUNDS) -> dict[str, float]:
    """Median milliseconds on the CPU, from one letterboxed picture to its detections.

    The models take turns, so that a machine that slows down slows all of them.
    """
    loaded = {name: load_model(path) for name, path in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(WARM_UP + rounds):
        for name, (network, spec) in loaded.items():
            seconds = _once(network, spec)
            if turn >= WARM_UP:
                times[name].append(1000 * seconds)
    return {name: statistics.median(values) for name, values in times.items()}


@torch.no_grad()
def _once(network: Network, spec: ModelSpec) -> float:
    picture = torch.full((1, 3, spec.image_size, spec.image_size), 0.5)
    usual = Selection(confidence=0.25)
    start = time.perf_counter()
    boxes, scores = decode(network(picture).heads, spec.anchors)
    select(boxes[0], scores[0], usual.confidence, usual.nms_iou, usual.most)
    return time.perf_counter() - start
