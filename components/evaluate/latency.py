"""How long a detector takes for one picture."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from kd.data.dataset import DetectionData
from kd.detection.decode import decode_boxes, postprocess
from kd.detection.evaluate import NMSConfig
from kd.model.build import Network
from kd.model.spec import ModelSpec

Task = Callable[[int], object]
WARM_UP = 3
ROUNDS = 30
PERCENTILE = 10
"""The reported percentile of the times. It is low, because other load on the machine makes a time longer, never shorter."""
DEPLOYMENT = NMSConfig(confidence=0.25)
"""The settings of a deployed detector. With the minimum score of an evaluation, 0.001, non-maximum suppression takes longer."""


def latencies(models: Mapping[str, tuple[Network, ModelSpec]], data: DetectionData, rounds: int = ROUNDS) -> dict[str, float]:
    """Milliseconds on the CPU by model, from a letterboxed picture of `data` to its detections."""
    pictures = [data.letterboxed(index % len(data))[0][None].float() / 255 for index in range(min(len(data), WARM_UP + rounds))]

    def task(network: Network, spec: ModelSpec) -> Task:
        return lambda index: _detect(network, spec, pictures[index % len(pictures)])

    return time_interleaved({name: task(*model) for name, model in models.items()}, rounds)


def time_interleaved(tasks: Mapping[str, Task], rounds: int = ROUNDS) -> dict[str, float]:
    """Milliseconds by task; each task is called with the number of the round.

    The tasks alternate, so that a slow moment of the machine affects all of them. Every other round runs in reverse order, because
    the previous task affects caches and threads. `rounds` is the number of timed rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in tasks}
    order = list(tasks.items())
    for index in range(WARM_UP + rounds):
        for name, task in order[:: -1 if index % 2 else 1]:
            start = time.perf_counter()
            task(index)
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.percentile(values[WARM_UP:], PERCENTILE)) for name, values in times.items()}


@torch.no_grad()
def _detect(network: Network, spec: ModelSpec, picture: Tensor) -> None:
    boxes, scores = decode_boxes(network(picture).heads, spec.anchors)
    postprocess(boxes[0], scores[0], DEPLOYMENT.confidence, DEPLOYMENT.nms_iou, DEPLOYMENT.max_detections)
