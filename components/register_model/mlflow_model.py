"""Package an exported network as an MLflow model."""

import io
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from kd.data import letterbox
from kd.files import digest

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature

REQUIREMENTS = ("mlflow-skinny", "numpy", "onnxruntime", "pandas", "pillow")
"""The packages that serving the model needs. `mlflow-skinny` has MLflow's server for models, but no databases and no scikit-learn."""
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

    from components.register_model import served_model, serving_log

    network = onnx.load(exported)
    # a fixed id and time, so that equal content gives equal files
    model = Model(model_uuid=digest(exported)[:32], utc_time_created="1970-01-01 00:00:00")
    model.add_flavor("onnx", onnx_version=onnx.__version__, data=f"artifacts/{exported.name}", providers=["CPUExecutionProvider"])
    mlflow.pyfunc.save_model(
        folder,
        python_model=served_model.__file__,
        artifacts={"network": str(exported), "letterbox": str(letterbox.__file__), "serving_log": str(serving_log.__file__)},
        mlflow_model=model,
        signature=_signature(network),
        input_example=pandas.DataFrame({"picture": [_example_picture()]}),
        pip_requirements=[f"{name}=={installed(name)}" for name in REQUIREMENTS],
    )
    _remove_absolute_paths(model)
    model.save(folder / "MLmodel")


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
