"""What `kdflow monitor` compares a log with: the distributions of the detections in the test pictures, which a version carries."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.register_model.served_model import OnnxDetector
from components.register_model.serving_log import DIGITS, PictureRecord, PredictionRecorder
from kd.data import letterbox
from kd.data.dataset import DetectionData
from kd.data.shards import PREPARE_AGAIN, PictureStream
from kd.detection.evaluate import NMSConfig
from kd.errors import InputError
from kd.files import write_json
from kd.progress import track

FORMAT = 1
BINS = 5
"""Few bins, because the noise of the index grows with their number."""
Distributions = dict[str, Any]


def write_reference(exported: Path, data: DetectionData, nms: NMSConfig, file: Path) -> None:
    """Run an ONNX file on a split as the served model does with the settings `nms`, and write the distributions to `file`."""
    pictures = (data.open(index) for index in track(range(len(data)), "monitoring reference", len(data)))
    write_json(file, make_reference(record_pictures(exported, pictures, nms)))


def record_pictures(exported: Path | bytes, pictures: Iterable[Path | Image.Image | PictureStream], nms: NMSConfig) -> PredictionRecorder:
    """Run an ONNX file, or its content, on pictures as the served model does, and record each picture.

    Raises:
        InputError: if a picture cannot be decoded.
    """
    content = exported if isinstance(exported, bytes) else exported.read_bytes()
    detector = OnnxDetector(content, letterbox)
    settings = {"confidence": round(nms.confidence, 6), "nms_iou": round(nms.nms_iou, 6), "most": nms.max_detections}
    recorder = PredictionRecorder(detector.classes, hashlib.sha256(content).hexdigest(), settings)
    try:
        for picture in pictures:
            detector([picture], nms.confidence, nms.nms_iou, nms.max_detections, recorder)
    except ValueError as error:
        raise InputError("picture", str(error), PREPARE_AGAIN) from None
    return recorder


def make_reference(recorder: PredictionRecorder) -> Distributions:
    """The distributions of the recorded pictures.

    Returns:
        "format", "model", "settings" and "classes" as recorded; "pictures": their number; "histograms": the inner edges of the bins
        and the counts in them by feature, with about the same count in each bin; "objects" and "pictures_with": by class, the
        number of its detections, and of the pictures with one.
    """
    records, histograms = recorder.records, {}
    for feature, values in feature_values(records).items():
        quantiles = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]).tolist() if len(values) else []
        edges = sorted({round(edge, DIGITS) for edge in quantiles})
        histograms[feature] = {"edges": edges, "counts": histogram(values, edges).tolist()}
    common = {"format": FORMAT, **recorder.common, "classes": list(recorder.classes), "pictures": len(records)}
    return {**common, "histograms": histograms, **class_counts(records, recorder.classes)}


def feature_values(records: Sequence[PictureRecord]) -> dict[str, NDArray[np.float64]]:
    """The values of each feature: one a picture, or one a detection."""
    return {
        "detections per picture": np.array([len(record["scores"]) for record in records], np.float64),
        "score": np.array([score for record in records for score in record["scores"]], np.float64),
        "box size": np.array([size for record in records for size in record["box_sizes"]], np.float64),
        "brightness": np.array([record["brightness"] for record in records], np.float64),
    }


def histogram(values: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.intp]:
    """The count of values in each of the `len(edges) + 1` bins; an edge belongs to the bin above it."""
    return np.bincount(np.searchsorted(np.asarray(edges, np.float64), values, side="right"), minlength=len(edges) + 1)


def class_counts(records: Sequence[PictureRecord], classes: Sequence[str]) -> Mapping[str, dict[str, int]]:
    """By class, the number of its detections ("objects"), and of the pictures with one ("pictures_with")."""
    return {
        "objects": {name: sum(record["classes"].count(name) for record in records) for name in classes},
        "pictures_with": {name: sum(name in record["classes"] for record in records) for name in classes},
    }
