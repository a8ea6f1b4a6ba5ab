"""The code of a registered model: takes pictures of any size, returns boxes in their own pixels.

MLflow copies this file into the model and runs it from there, so it imports nothing of this project and no torch. Pictures are
decoded and letterboxed by a copy of `kd/data/letterbox.py`, which is stored next to the network.
"""

import base64
import binascii
import io
import json
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray
from PIL import Image

Inputs = dict[str, NDArray[np.float32] | NDArray[np.int64]]
BATCH = 16
OUTPUTS = ("boxes", "scores", "labels", "pictures")


class Detections(NamedTuple):
    """Detections in one picture, best first: boxes [M, 4] (x0, y0, x1, y1) in its pixels, scores [M] in 0..1, labels [M]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]


class OnnxDetector:
    """Detects objects in pictures of any size.

    Args:
        network: a file written by `components.register_model.export`, or its content.
        letterbox: the module `kd.data.letterbox`, or a copy of it.
    """

    def __init__(self, network: Path | bytes, letterbox: ModuleType) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # otherwise it warns about each optional input
        self._session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self._letterbox = letterbox
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.classes, self.image_size = tuple(json.loads(metadata["classes"])), int(metadata["image_size"])

    def __call__(self, pictures: Sequence[Any], confidence: float, nms_iou: float, most: int) -> list[Detections]:
        """Detect objects in each picture.

        Args:
            pictures: encoded files (bytes, also as base64), paths, PIL images, or arrays of uint8 [H, W], [H, W, 3] or [H, W, 4].
            confidence: detections with a higher score than this are returned.
            nms_iou: IoU above which the lower-scoring of two boxes of a class is removed.
            most: maximum number of detections in a picture.

        Raises:
            ValueError: if a picture cannot be decoded; names the first one.
        """
        settings: Inputs = {
            "confidence": np.array(confidence, np.float32),
            "nms_iou": np.array(nms_iou, np.float32),
            "most": np.array(most, np.int64),
        }
        detections: list[Detections] = []
        for start in range(0, len(pictures), BATCH):
            # one after the other, so that only one picture is in memory at its full size
            squares = [self._letterboxed(start + i, picture) for i, picture in enumerate(pictures[start : start + BATCH])]
            detections += self._detect(squares, settings)
        return detections

    def _letterboxed(self, index: int, picture: Any) -> tuple[NDArray[np.uint8], Any, tuple[int, int]]:
        """A picture in the network's square, its position in it, and its size."""
        image = self._decode(index, picture)
        return (*self._letterbox.letterbox_array(image, self.image_size), image.size)

    def _detect(self, squares: list[tuple[NDArray[np.uint8], Any, tuple[int, int]]], settings: Inputs) -> list[Detections]:
        inputs = np.stack([square for square, *_ in squares]).transpose(0, 3, 1, 2).astype(np.float32) / 255
        boxes, scores, labels, image_index = self._session.run(OUTPUTS, {"images": inputs, **settings})
        detections = []
        for i, (_, frame, size) in enumerate(squares):
            own = image_index == i
            clipped = np.clip(frame.to_picture(boxes[own]), 0, np.array(size * 2, np.float32))
            detections.append(Detections(clipped, scores[own], labels[own]))
        return detections

    def _decode(self, index: int, picture: Any) -> Image.Image:
        try:
            image: Image.Image = self._to_image(picture)
        except (ValueError, OSError) as error:
            name = picture if isinstance(picture, Path) else f"picture {index}"
            raise ValueError(f"{name} cannot be decoded: {error}") from None
        return image

    def _to_image(self, picture: Any) -> Any:
        match picture:
            case Image.Image():
                return self._letterbox.as_rgb(picture)
            case np.ndarray():
                return self._letterbox.from_array(picture)
            case Path():
                return self._letterbox.decode_picture(picture)
            case bytes() | str():
                return self._letterbox.decode_picture(io.BytesIO(_decode_base64(picture)))
        raise ValueError(f"it is a {type(picture).__name__}")


class ServedModel(PythonModel):
    """The detector as an MLflow model, for `mlflow.pyfunc.load_model(...).predict({"picture": [...]})` and `mlflow models serve`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the network and the copy of `kd.data.letterbox`."""
        self.detector = OnnxDetector(Path(context.artifacts["network"]), _load_module(Path(context.artifacts["letterbox"])))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, list[Any]]]:
        """For each row's "picture": boxes (x0, y0, x1, y1) in that picture's pixels, scores and class names, best first."""
        try:
            detections = self.detector(list(model_input["picture"]), **(params or {}))
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        names = self.detector.classes
        return [{"boxes": b.tolist(), "scores": s.tolist(), "classes": [names[label] for label in labels]} for b, s, labels in detections]


def _decode_base64(picture: bytes | str) -> bytes:
    """The bytes of an encoded picture. MLflow's server decodes base64 in `dataframe_split` but not in `inputs`."""
    content = picture.encode() if isinstance(picture, str) else picture
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error:
        return content


def _load_module(path: Path) -> ModuleType:
    """Load a module without adding it to `sys.modules`, so that two versions of a model can be open at once."""
    spec = spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


set_model(ServedModel())
