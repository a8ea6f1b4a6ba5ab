"""Package an exported network as an MLflow model, and load a packaged model as a detector."""

import io
import os
from collections.abc import Sequence
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from components.runtime.text import mask_passwords, one_line
from components.runtime.tracking import import_mlflow, sqlite_file, tracking_uri
from kd.detection.decode import Detections
from kd.errors import InputError

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature

    from components.register_model.served_model import OnnxDetector
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
    from kd.data import letterbox

    network = onnx.load(exported)
    model = Model()
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
    """Load the detector at `models:/NAME@champion`, `models:/NAME/3`, `runs:/RUN/model` or in a folder, with `mlflow.pyfunc`.

    Raises:
        InputError: if it does not exist, cannot be loaded, or was not written by `package`.
    """
    if (file := sqlite_file()) and not file.exists() and ":/" in uri:
        raise InputError(uri, f"cannot be loaded: there is no {file}", "set MLFLOW_TRACKING_URI, or run this in the project folder")
    import_mlflow()
    import mlflow.artifacts
    import mlflow.pyfunc

    try:
        with TemporaryDirectory() as folder:
            registry = os.environ.get("MLFLOW_REGISTRY_URI") or tracking_uri()
            local = mlflow.artifacts.download_artifacts(uri, dst_path=folder, tracking_uri=tracking_uri(), registry_uri=registry)
            return RegisteredDetector(mlflow.pyfunc.load_model(local).unwrap_python_model().detector)
    except Exception as error:  # stores, buckets and runtimes raise exceptions of many kinds
        problem = f"cannot be loaded from {mask_passwords(tracking_uri())} ({one_line(error)})"
        raise InputError(uri, problem, "check its name and MLFLOW_TRACKING_URI") from error


class RegisteredDetector:
    """A registered model with the interface of `kd.detector.Detector`."""

    batch = 16

    def __init__(self, detector: "OnnxDetector") -> None:
        self._detector = detector
        self.classes: tuple[str, ...] = detector.classes
        self.image_size: int = detector.image_size

    def __call__(
        self, pictures: "Sequence[Picture]", confidence: float = 0.25, nms_iou: float = 0.6, max_detections: int = 100
    ) -> list[Detections]:
        """Detect objects in each picture, best first, boxes in that picture's pixels; see `kd.detector.Detector.__call__`.

        Raises:
            InputError: if a file cannot be decoded, or an array is not a picture.
        """
        paths_or_images = [Path(picture) if isinstance(picture, str) else picture for picture in pictures]
        try:
            # by position, because the model may have been packaged by an older release
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
