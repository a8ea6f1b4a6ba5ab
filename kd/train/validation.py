"""The score of a network on the val split during its training."""

import torch

from kd.data.dataset import DetectionData
from kd.data.loader import Workers
from kd.detection.evaluate import NMSConfig, detect
from kd.detection.scores import coco_scores, split_results
from kd.model.build import Network
from kd.model.distributed import Processes
from kd.model.spec import ModelSpec


def validate(
    network: Network, spec: ModelSpec, val: DetectionData, processes: Processes, workers: Workers, dtype: torch.dtype | None
) -> dict[str, float]:
    """The scores "val_map" and "val_map50", 0..1; empty if the split has no pictures.

    The processes share the pictures, and all get the scores.
    """
    if not len(val):
        return {}
    processes.broadcast_buffers(network)  # the statistics of batch normalization are each process's own
    with torch.autocast(processes.device.type, dtype=dtype, enabled=dtype is not None):
        own = processes.own_indices(len(val))
        found = detect(network, spec.anchors, val, NMSConfig(), workers=workers, indices=own)
        results = processes.gather(split_results([val.ids[index] for index in own], found))
    metrics: dict[str, float] = {}
    if processes.is_main:
        scores = coco_scores(val.ground_truth, results, NMSConfig().max_detections)
        metrics = {"val_map": scores.map, "val_map50": scores.map50}
    return processes.all_gather(metrics)[0]
