"""Load a packaged model as a detector. `components.register_model.mlflow_model` writes the package."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from components.register_model.integrity import ChangedFiles
from components.register_model.registered_files import read_onnx
from components.register_model.registry import Registry
from components.runtime.store import import_mlflow, limit_requests, sqlite_file, tracking_uri
from components.runtime.text import mask_passwords, one_line
from kd.data import letterbox
from kd.data.shards import PREPARE_AGAIN, PictureStream
from kd.detection.decode import Detections
from kd.errors import InputError

if TYPE_CHECKING:
    from kd.detector import Picture


def open_model(uri: str) -> "RegisteredDetector":
    """Load the detector at `models:/NAME@champion`, `models:/NAME/3` or `runs:/RUN/model`, or from a folder with a packaged model.

    The files of a registered version are verified first. A folder is not, because no code in it runs.

    Raises:
        InputError: if it does not exist, differs from the registered files, cannot be loaded, or is not a packaged model.
    """
    if (file := sqlite_file()) and not file.exists() and ":/" in uri:
        raise InputError(uri, f"cannot be loaded: there is no {file}", "set MLFLOW_TRACKING_URI, or run this in the project folder")
    import_mlflow()
    limit_requests()
    try:
        return RegisteredDetector(_read_network(uri))
    except ChangedFiles:
        raise
    except Exception as error:  # stores, buckets and runtimes raise exceptions of many kinds
        problem = f"cannot be loaded from {mask_passwords(tracking_uri())} ({one_line(error)})"
        raise InputError(uri, problem, "check its name and MLFLOW_TRACKING_URI") from error


def _read_network(uri: str) -> bytes:
    if found := re.fullmatch(r"models:/([^/@]+)(?:/|@)([^/@]+)", uri):
        registry = Registry(found[1], os.environ.get("MLFLOW_REGISTRY_URI"))
        return read_onnx(registry, registry.version(found[2]))
    if found := re.fullmatch(r"runs:/([^/]+)/.+", uri):
        registry = Registry("any model")
        with registry.wrap_errors():
            versions = registry.client.search_model_versions(f"run_id = '{found[1]}'")
        registered = [version for version in versions if version.source == uri]
        if not registered:
            raise InputError(uri, "is not a registered version", "register it with kdflow")
        registry = Registry(registered[0].name)
        return read_onnx(registry, registry.version(str(registered[0].version)))
    [network] = Path(uri).rglob("*.onnx")
    return network.read_bytes()


class RegisteredDetector:
    """A registered model with the interface of `kd.detector.Detector`. It runs the installed code, never that in the registry.

    Args:
        network: the content of an ONNX file written by `components.register_model.export`.
    """

    batch = 16

    def __init__(self, network: bytes) -> None:
        from components.register_model.served_model import OnnxDetector

        self._detector = OnnxDetector(network, letterbox)
        self.classes: tuple[str, ...] = self._detector.classes
        self.image_size: int = self._detector.image_size

    def __call__(
        self, pictures: "Sequence[Picture | PictureStream]", confidence: float = 0.25, nms_iou: float = 0.6, max_detections: int = 100
    ) -> list[Detections]:
        """Detect objects in each picture, best first, boxes in that picture's pixels; see `kd.detector.Detector.__call__`.

        A picture may also be a prepared one, as `kd.data.dataset.DetectionData.open` gives it.

        Raises:
            InputError: if a file cannot be decoded, or an array is not a picture.
        """
        paths_or_images = [Path(picture) if isinstance(picture, str) else picture for picture in pictures]
        try:
            detections = self._detector(paths_or_images, confidence, nms_iou, max_detections)
        except ValueError as error:
            prepared = any(isinstance(picture, PictureStream) for picture in paths_or_images)
            remedy = PREPARE_AGAIN if prepared else "pass complete JPEG or PNG files, or uint8 arrays"
            raise InputError("picture", str(error), remedy) from None
        return [Detections(*(torch.from_numpy(part) for part in parts)) for parts in detections]
