"""Package an exported network as an MLflow model, and load a packaged model as a detector."""

import io
import os
import re
from collections.abc import Sequence
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from components.register_model.integrity import ChangedFiles
from components.runtime.text import mask_passwords, one_line
from components.runtime.tracking import import_mlflow, limit_requests, sqlite_file, tracking_uri
from kd.data import letterbox
from kd.detection.decode import Detections
from kd.errors import InputError
from kd.files import digest

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature

    from kd.detector import Picture

REQUIREMENTS = ("numpy", "onnxruntime", "pillow")
"""The packages that running the model needs besides MLflow; torch is not among them."""
PARAMS = {"confidence": "double", "nms_iou": "double", "most": "long"}
"""The parameters of a prediction, with their MLflow types."""


def package(exported: Path, folder: Path) -> None:
    """Write the ONNX file `exported` as an MLflow model to `folder`.

    With `mlflow.pyfunc` it is `components.register_model.served_model.ServedModel`; with `mlflow.onnx` it is the ONNX network.
    """
    import mlflow.pyfunc
    import onnx
    import pandas
    from mlflow.models import Model

    from components.register_model import served_model

    network = onnx.load(exported)
    # a fixed id and time, so that equal content gives equal files
    model = Model(model_uuid=digest(exported)[:32], utc_time_created="1970-01-01 00:00:00")
    model.add_flavor("onnx", onnx_version=onnx.__version__, data=f"artifacts/{exported.name}", providers=["CPUExecutionProvider"])
    mlflow.pyfunc.save_model(
        folder,
        python_model=served_model.__file__,
        artifacts={"network": str(exported), "letterbox": str(letterbox.__file__)},
        mlflow_model=model,
        signature=_signature(network),
        input_example=pandas.DataFrame({"picture": [_example_picture()]}),
        pip_requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
    )
    _remove_absolute_paths(model)
    model.save(folder / "MLmodel")


def open_model(uri: str) -> "RegisteredDetector":
    """Load the detector at `models:/NAME@champion`, `models:/NAME/3` or `runs:/RUN/model`, or from a folder written by `package`.

    The files of a registered version are verified first. A folder is not, because no code in it runs.

    Raises:
        InputError: if it does not exist, differs from the registered files, cannot be loaded, or was not written by `package`.
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
    from components.register_model.registry import Registry

    if found := re.fullmatch(r"models:/([^/@]+)(?:/|@)([^/@]+)", uri):
        registry = Registry(found[1], os.environ.get("MLFLOW_REGISTRY_URI"))
        return registry.read_network(registry.version(found[2]))
    if found := re.fullmatch(r"runs:/([^/]+)/.+", uri):
        registry = Registry("any model")
        with registry.wrap_errors():
            versions = registry.client.search_model_versions(f"run_id = '{found[1]}'")
        registered = [version for version in versions if version.source == uri]
        if not registered:
            raise InputError(uri, "is not a registered version", "register it with kdflow")
        registry = Registry(registered[0].name)
        return registry.read_network(registry.version(str(registered[0].version)))
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
        self, pictures: "Sequence[Picture]", confidence: float = 0.25, nms_iou: float = 0.6, max_detections: int = 100
    ) -> list[Detections]:
        """Detect objects in each picture, best first, boxes in that picture's pixels; see `kd.detector.Detector.__call__`.

        Raises:
            InputError: if a file cannot be decoded, or an array is not a picture.
        """
        paths_or_images = [Path(picture) if isinstance(picture, str) else picture for picture in pictures]
        try:
            detections = self._detector(paths_or_images, confidence, nms_iou, max_detections)
        except ValueError as error:
            raise InputError("picture", str(error), "pass complete JPEG or PNG files, or uint8 arrays") from None
        return [Detections(*(torch.from_numpy(part) for part in parts)) for parts in detections]


def _signature(network: Any) -> "ModelSignature":
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    defaults = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in network.graph.initializer if tensor.name in PARAMS}
    boxes, scores = ColSpec(Array(Array(DataType.double)), "boxes"), ColSpec(Array(DataType.double), "scores")
    return ModelSignature(
        Schema([ColSpec(DataType.binary, "picture")]),
        Schema([boxes, scores, ColSpec(Array(DataType.string), "classes")]),
        ParamSchema([ParamSpec(name, kind, round(defaults[name].item(), 6)) for name, kind in PARAMS.items()]),
    )


def _example_picture() -> bytes:
    """A small grey picture as a PNG file."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "grey").save(file, "PNG")
    return file.getvalue()


def _remove_absolute_paths(model: "Model") -> None:
    """Replace the paths of the packaged files on this machine by their paths in the package."""
    python = model.flavors["python_function"]
    python["model_code_path"] = Path(python["model_code_path"]).name
    for artifact in python["artifacts"].values():
        artifact["uri"] = artifact["path"]
