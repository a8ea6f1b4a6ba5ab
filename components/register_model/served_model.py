"""The code of a registered model: takes pictures of any size, returns boxes in their own pixels.

MLflow copies this file into the model and runs it from there, so it imports nothing of this project and no torch. Pictures are
decoded and letterboxed by a copy of `kd/data/letterbox.py`, which is stored next to the network. If the environment variable
`KDFLOW_SERVING_LOG` names a file, a copy of `components/register_model/serving_log.py` records numbers about each picture there.
"""

import base64
import binascii
import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray
from PIL import Image

Inputs = dict[str, NDArray[np.float32] | NDArray[np.int64]]
BATCH = 16
LARGE_MEGAPIXELS = 8
"""Of pictures with more, one is decoded at a time."""
LOG_VARIABLE = "KDFLOW_SERVING_LOG"
SETTING_RANGES = {"confidence": (0, 1), "nms_iou": (0, 1), "most": (1, 100_000)}
"""The least and the greatest value of each parameter of a prediction."""
OUTPUTS = ("boxes", "scores", "labels", "pictures")


class Detections(NamedTuple):
    """Detections in one picture, best first: boxes [M, 4] (x0, y0, x1, y1) in its pixels, scores [M] in 0..1, labels [M]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]


Observer = Callable[[NDArray[np.uint8], tuple[int, int], Detections], None]
"""Called with a picture at the network's size [H, W, 3], its original width and height, and its detections."""


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
        # one thread for large pictures: a server has many threads, and the C library keeps freed memory for each
        self._large_pictures = ThreadPoolExecutor(1)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.classes, self.image_size = tuple(json.loads(metadata["classes"])), int(metadata["image_size"])

    def __call__(
        self, pictures: Sequence[Any], confidence: float, nms_iou: float, most: int, observe: Observer | None = None
    ) -> list[Detections]:
        """Detect objects in each picture.

        Args:
            pictures: encoded files (bytes, also as base64 or `io.BytesIO`), paths, PIL images, or arrays of uint8 [H, W], [H, W, 3] or
                [H, W, 4].
            confidence: detections with a higher score than this are returned.
            nms_iou: IoU above which the lower-scoring of two boxes of a class is removed.
            most: maximum number of detections in a picture.
            observe: called for each picture, in order.

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
            found = self._detect(squares, settings)
            detections += found
            if observe:
                for (square, frame, size), own in zip(squares, found, strict=True):
                    observe(_crop(square, frame, size), size, own)
        return detections

    def _letterboxed(self, index: int, picture: Any) -> tuple[NDArray[np.uint8], Any, tuple[int, int]]:
        """A picture in the network's square, its position in it, and its size."""
        try:
            source = io.BytesIO(_decode_base64(picture)) if isinstance(picture, bytes | str) else picture
            if self._count_pixels(source) > LARGE_MEGAPIXELS * 1e6:
                return self._large_pictures.submit(self._fit, source).result()
            return self._fit(source)
        except (ValueError, OSError) as error:
            name = picture if isinstance(picture, Path) else getattr(picture, "name", f"picture {index}")
            raise ValueError(f"{name} cannot be decoded: {error}") from None

    def _detect(self, squares: list[tuple[NDArray[np.uint8], Any, tuple[int, int]]], settings: Inputs) -> list[Detections]:
        inputs = np.stack([square for square, *_ in squares]).transpose(0, 3, 1, 2).astype(np.float32) / 255
        boxes, scores, labels, image_index = self._session.run(OUTPUTS, {"images": inputs, **settings})
        detections = []
        for i, (_, frame, size) in enumerate(squares):
            own = image_index == i
            clipped = np.clip(frame.to_picture(boxes[own]), 0, np.array(size * 2, np.float32))
            detections.append(Detections(clipped, scores[own], labels[own]))
        return detections

    def _fit(self, source: Any) -> tuple[NDArray[np.uint8], Any, tuple[int, int]]:
        image = self._to_image(source)
        return (*self._letterbox.letterbox_array(image, self.image_size), image.size)

    def _count_pixels(self, source: Any) -> int:
        """The number of pixels of a picture that is not decoded yet."""
        if not isinstance(source, Path | io.BytesIO):
            return 0
        with self._letterbox.open_picture(source) as image:
            return int(image.width * image.height)

    def _to_image(self, source: Any) -> Any:
        match source:
            case Image.Image():
                return self._letterbox.as_rgb(source)
            case np.ndarray():
                return self._letterbox.from_array(source)
            case io.BytesIO():
                source.seek(0)
                return self._letterbox.decode_picture(source)
            case Path():
                return self._letterbox.decode_picture(source)
        raise ValueError(f"it is a {type(source).__name__}")


class BadRequest(MlflowException):
    """An error of the request, in one line. MLflow's server would put the whole request in front of the message."""

    @property
    def message(self) -> str:
        """The message that was set first, by the constructor; the server sets another one."""
        return str(self.__dict__["message"])

    @message.setter
    def message(self, text: str) -> None:
        self.__dict__.setdefault("message", text)


class ServedModel(PythonModel):
    """The detector as an MLflow model, for `mlflow.pyfunc.load_model(...).predict({"picture": [...]})` and `mlflow models serve`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the network and the copies of `kd.data.letterbox` and `serving_log`, and open the log if there is to be one."""
        network = Path(context.artifacts["network"])
        self.detector = OnnxDetector(network, _load_module(Path(context.artifacts["letterbox"])))
        self.logging = _load_module(Path(context.artifacts["serving_log"]))
        self.model = hashlib.sha256(network.read_bytes()).hexdigest()
        path = os.environ.get(LOG_VARIABLE)
        self.log = self.logging.ServingLog(Path(path)) if path else None

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, list[Any]]]:
        """For each row's "picture": boxes (x0, y0, x1, y1) in that picture's pixels, scores and class names, best first."""
        names, settings = self.detector.classes, params or {}
        recorder = self.logging.PredictionRecorder(names, self.model, settings) if self.log else None
        try:
            _check_settings(settings)
            detections = self.detector(list(model_input["picture"]), **settings, observe=recorder)
        except ValueError as error:
            raise BadRequest(" ".join(str(error).split()), INVALID_PARAMETER_VALUE) from None
        if self.log and recorder:
            try:
                self.log.append(recorder.records)
            except (OSError, ValueError) as error:  # a full disk, or damaged metrics, must not stop predictions
                logging.getLogger("kdflow").warning("%s is not written: %s", self.log.path, error)
        return [{"boxes": b.tolist(), "scores": s.tolist(), "classes": [names[label] for label in labels]} for b, s, labels in detections]


def _check_settings(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        low, high = SETTING_RANGES[name]
        if not low <= value <= high:  # also for NaN
            raise ValueError(f"params: {name} must be in {low}..{high}, not {value:g}")


def _crop(square: NDArray[np.uint8], frame: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The part of the letterboxed square that shows the picture."""
    width, height = (max(1, round(side * frame.scale)) for side in size)
    return square[frame.top : frame.top + height, frame.left : frame.left + width]


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
