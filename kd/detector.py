"""A trained detector as a function from pictures to detections in their own pixels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from kd.data.letterbox import Letterbox, UnreadablePicture, as_rgb, from_array
from kd.data.pictures import letterbox_tensor, read_picture
from kd.detection.decode import Detections
from kd.detection.evaluate import NMSConfig, detect_letterboxed
from kd.errors import InputError
from kd.model.build import Network
from kd.model.spec import ModelSpec
from kd.model.store import load_model

Picture = Image.Image | np.ndarray | Path | str
"""A PIL image, a uint8 array [H, W], [H, W, 3] (RGB) or [H, W, 4] (RGBA), or a file."""


class Detector:
    """Detects objects in pictures of any size.

    Args:
        network: a trained network.
        spec: its spec.
        device: where it runs; None takes the first GPU, or the CPU if there is none.
        batch: number of pictures that the network processes at once.

    Raises:
        InputError: if this machine has no such device.

    Example:
        >>> detector = Detector.load("model.safetensors")
        >>> [detections] = detector(["street.jpg"], confidence=0.4)
        >>> [detector.classes[label] for label in detections.labels]
    """

    def __init__(self, network: Network, spec: ModelSpec, device: str | torch.device | None = None, batch: int = 16) -> None:
        try:
            self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
            self.network = network.to(self.device).eval()
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device {device}", str(error).splitlines()[0], "choose another, such as cpu") from None
        self.spec, self.batch = spec, batch

    @classmethod
    def load(cls, path: Path | str, device: str | torch.device | None = None, batch: int = 16) -> "Detector":
        """Load a detector from a model.safetensors.

        Raises:
            InputError: if the file is not a model, or this machine has no such device.
        """
        return cls(*load_model(Path(path)), device, batch)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        return self.spec.classes

    def __call__(
        self, pictures: Sequence[Picture], confidence: float = 0.25, nms_iou: float = 0.6, max_detections: int = 100
    ) -> list[Detections]:
        """Detect objects in each picture.

        Args:
            pictures: files are turned upright by their EXIF orientation, images and arrays are not turned.
            confidence: lower bound of the scores, exclusive.
            nms_iou: IoU above which the lower-scoring of two boxes of a class is removed.
            max_detections: maximum number of detections in a picture.

        Returns:
            The `Detections` of each picture, on the CPU, best first, with boxes in that picture's pixels and inside it.

        Raises:
            InputError: if a file cannot be decoded, or an array is not a picture.
        """
        nms = NMSConfig(confidence, nms_iou, max_detections)
        found: list[Detections] = []
        for start in range(0, len(pictures), self.batch):
            # one after the other, so that only one picture is in memory at its full size
            letterboxed = [self._letterboxed(picture) for picture in pictures[start : start + self.batch]]
            squares, positions, sizes = zip(*letterboxed, strict=True)
            found += detect_letterboxed(self.network, self.spec.anchors, torch.stack(squares), positions, sizes, nms)
        return found

    def _letterboxed(self, picture: Picture) -> tuple[torch.Tensor, Letterbox, tuple[int, int]]:
        """A picture in the network's square, its position in it, and its size."""
        image = _as_image(picture)
        return (*letterbox_tensor(image, self.spec.image_size), image.size)


def _as_image(picture: Picture) -> Image.Image:
    if not isinstance(picture, Image.Image | np.ndarray):
        return read_picture(Path(picture))
    try:
        return as_rgb(picture) if isinstance(picture, Image.Image) else from_array(picture)
    except UnreadablePicture as error:
        raise InputError("picture", str(error), "give uint8 [H, W], [H, W, 3] or [H, W, 4]") from None
