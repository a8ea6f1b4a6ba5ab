"""Score a trained model on a split."""

from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from components.evaluate.report.models import EvaluatedModel, History, read_history
from kd.data.dataset import DetectionData
from kd.data.loader import Workers
from kd.detection.decode import Detections
from kd.detection.evaluate import BATCH, NMSConfig, detect
from kd.detection.scores import coco_scores, split_results
from kd.errors import InputError
from kd.model.build import Network, build_model
from kd.model.distributed import Processes
from kd.model.spec import ModelSpec
from kd.model.store import load_init_metadata, load_model
from kd.progress import track

MODEL = "model.safetensors"
IndexedDetections = tuple[int, Detections]
"""The index of a picture in its split, and the detections in it."""


class TrainedModel(NamedTuple):
    """A trained model, the folder it was loaded from, its initial weights, "" for random weights, and the metrics of each epoch."""

    folder: Path
    network: Network
    spec: ModelSpec
    init: str
    history: History


def load_trained(folder: Path, summary: dict[str, Any]) -> TrainedModel:
    """Load the model that a training step wrote to `folder`.

    Raises:
        InputError: if it has other classes or another image size than the prepared data of `summary`.
    """
    network, spec = load_model(folder / MODEL)
    if list(spec.classes) != summary["classes"] or spec.image_size != summary["image_size"]:
        raise InputError(folder / MODEL, "is for other classes or another image size than the prepared data", "train it on these data")
    return TrainedModel(folder, network, spec, load_init_metadata(folder / MODEL).get("init", ""), read_history(folder / "history.csv"))


def load_split(folder: Path, image_size: int) -> DetectionData:
    """A split to score models on.

    Raises:
        InputError: if it has no pictures.
    """
    data = DetectionData(folder, image_size)
    if not len(data):
        raise InputError(folder, "has no pictures", f"raise data.{folder.name}, or add a {folder.name} split")
    return data


def evaluate_model(name: str, model: TrainedModel, data: DetectionData, nms: NMSConfig) -> EvaluatedModel:
    """Run `model` over a split in this process, and score its detections; `name` is the title of the progress bar."""
    alone = Processes(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return score_detections(model, detect_share(name, model, data, nms, alone), data, nms)


def detect_share(
    name: str, model: TrainedModel, data: DetectionData, nms: NMSConfig, processes: Processes, workers: Workers = 0
) -> list[IndexedDetections]:
    """Run `model` over this process's share of the batches of a split, which `workers` processes load.

    `name` is the title of the progress bar, which shows the share of the main process.
    """
    indices = processes.own_indices(len(data), BATCH)
    model.network.to(processes.device)
    detections = detect(model.network, model.spec.anchors, data, nms, BATCH, workers, indices)
    found = list(zip(indices, track(detections, f"score {name}", len(indices), enabled=processes.is_main), strict=True))
    model.network.cpu()
    return found


def score_detections(model: TrainedModel, found: list[IndexedDetections], data: DetectionData, nms: NMSConfig) -> EvaluatedModel:
    """Score the detections of `model` in all pictures of a split, in any order."""
    detections = [own for _, own in sorted(found, key=itemgetter(0))]
    scores = coco_scores(data.ground_truth, split_results(data.ids, detections), nms.max_detections)
    return EvaluatedModel(scores, detections, model.history)


def gigaflops(spec: ModelSpec) -> float:
    """Billions of floating point operations for one picture; a multiply-add counts as two, as in Darknet."""
    network = build_model(spec).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, spec.image_size, spec.image_size, device="meta"))
    return float(counter.get_total_flops()) / 1e9
