"""What a registered model runs: pictures of any size in, boxes in their own pixels out.

MLflow copies this file into the model and runs it from there. So it imports nothing of this project, and no torch: how pictures
are decoded and fitted is in a copy of `kd/data/square.py` that lies beside the network.
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
from PIL import Image, UnidentifiedImageError

Limits = dict[str, NDArray[np.float32] | NDArray[np.int64]]
BATCH = 16
OUTPUTS = ("boxes", "scores", "labels", "pictures")


class Found(NamedTuple):
    """What was found in one picture, best first: boxes [M, 4] (x0, y0, x1, y1) in its pixels, scores [M] in 0..1, labels [M]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]


class OnnxDetector:
    """Finds objects in pictures of any size.

    Args:
        network: a file that `components.export` wrote.
        square: the module `kd.data.square`, or a copy of it.
    """

    def __init__(self, network: Path, square: ModuleType) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # it warns of each input that may be left out
        self._session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self._square = square
        facts = self._session.get_modelmeta().custom_metadata_map
        self.classes, self.image_size = tuple(json.loads(facts["classes"])), int(facts["image_size"])

    def __call__(self, pictures: Sequence[Any], confidence: float, nms_iou: float, most: int) -> list[Found]:
        """Find objects in each picture.

        Args:
            pictures: encoded files (bytes, also as base64), paths, PIL images, or arrays of uint8 [H, W], [H, W, 3] or [H, W, 4].
            confidence: least score, exclusive.
            nms_iou: overlap above which the weaker of two boxes of a class goes.
            most: most detections in one picture.

        Raises:
            ValueError: naming the first picture that is none.
        """
        limits: Limits = {
            "confidence": np.array(confidence, np.float32),
            "nms_iou": np.array(nms_iou, np.float32),
            "most": np.array(most, np.int64),
        }
        found: list[Found] = []
        for start in range(0, len(pictures), BATCH):
            images = [self._image(start + i, picture) for i, picture in enumerate(pictures[start : start + BATCH])]
            found += self._detect(images, limits)
        return found

    def _detect(self, images: list[Image.Image], limits: Limits) -> list[Found]:
        squares, frames = zip(*(self._square.fit(image, self.image_size) for image in images), strict=True)
        inputs = np.stack(squares).transpose(0, 3, 1, 2).astype(np.float32) / 255
        boxes, scores, labels, owners = self._session.run(OUTPUTS, {"images": inputs, **limits})
        found = []
        for i, (image, frame) in enumerate(zip(images, frames, strict=True)):
            mine = owners == i
            inside = np.clip(frame.back(boxes[mine]), 0, np.array(image.size * 2, np.float32))
            found.append(Found(inside, scores[mine], labels[mine]))
        return found

    def _image(self, index: int, picture: Any) -> Image.Image:
        try:
            image: Image.Image = self._opened(picture)
        except self._square.UNREADABLE as error:
            name = picture if isinstance(picture, Path) else f"picture {index}"
            reason = "it is no JPEG, PNG or the like" if isinstance(error, UnidentifiedImageError) else error
            raise ValueError(f"{name} cannot be decoded: {reason}") from None
        return image

    def _opened(self, picture: Any) -> Any:
        match picture:
            case Image.Image():
                return self._square.as_rgb(picture)
            case np.ndarray():
                return self._square.from_array(picture)
            case Path():
                return self._square.decode(picture)
            case bytes() | str():
                return self._square.decode(io.BytesIO(_content(picture)))
        raise ValueError(f"it is a {type(picture).__name__}")


class ServedModel(PythonModel):
    """The detector as MLflow calls it: `mlflow.pyfunc.load_model(...).predict({"picture": [...]})`, and `mlflow models serve`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the network and the module that fits pictures into its square."""
        self.detector = OnnxDetector(Path(context.artifacts["network"]), _module(Path(context.artifacts["square"])))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, list[Any]]]:
        """For each row's "picture" its boxes (x0, y0, x1, y1) in that picture's pixels, scores and class names, best first."""
        try:
            found = self.detector(list(model_input["picture"]), **(params or {}))
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        names = self.detector.classes
        return [{"boxes": b.tolist(), "scores": s.tolist(), "classes": [names[label] for label in labels]} for b, s, labels in found]


def _content(picture: bytes | str) -> bytes:
    """The bytes of an encoded picture: MLflow's server decodes base64 in `dataframe_split`, and leaves it as it is in `inputs`."""
    content = picture.encode() if isinstance(picture, str) else picture
    try:
        return base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error:
        return content


def _module(path: Path) -> ModuleType:
    """The module in a file, apart from all others: two versions of a model may be open at once."""
    spec = spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


set_model(ServedModel())
