"""How long a detector takes for one picture."""

import statistics
import time
from collections.abc import Mapping

import torch
from torch import Tensor

from kd.data.dataset import DetectionData
from kd.detection.decode import decode, select
from kd.detection.evaluate import Selection
from kd.model.build import Network
from kd.model.spec import ModelSpec

WARM_UP = 3
IN_USE = Selection(confidence=0.25)
"""At the least score of a scoring, 0.001, suppression would take longer than it does in use."""


def latencies(models: Mapping[str, tuple[Network, ModelSpec]], data: DetectionData, rounds: int = 30) -> dict[str, float]:
    """Median milliseconds on the CPU by model, from one letterboxed picture of `data` to its detections.

    The models take turns, so that a machine that slows down slows all of them; `rounds` is the number of timed turns.
    """
    times: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(WARM_UP + rounds):
        picture = data.square(turn % len(data))[0][None].float() / 255
        for name, (network, spec) in models.items():
            seconds = _once(network, spec, picture)
            if turn >= WARM_UP:
                times[name].append(1000 * seconds)
    return {name: statistics.median(values) for name, values in times.items()}


@torch.no_grad()
def _once(network: Network, spec: ModelSpec, picture: Tensor) -> float:
    start = time.perf_counter()
    boxes, scores = decode(network(picture).heads, spec.anchors)
    select(boxes[0], scores[0], IN_USE.confidence, IN_USE.nms_iou, IN_USE.most)
    return time.perf_counter() - start
