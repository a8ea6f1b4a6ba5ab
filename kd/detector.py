"""A trained network as a function: pictures in, boxes in their own pixels out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from kd.data.letterbox import as_rgb, from_array
from kd.data.pictures import letterbox, read_picture
from kd.detection.decode import Detections, decode_boxes, postprocess
from kd.detection.evaluate import to_picture
from kd.errors import InputError
from kd.model.build import Network
from kd.model.spec import ModelSpec
from kd.model.store import load_model

Picture = Image.Image | np.ndarray | Path | str
"""A PIL image, a uint8 array [H, W], [H, W, 3] (RGB) or [H, W, 4] (RGBA), or a file."""


class Detector:
    """Finds objects in pictures of any size.

    Args:
        network: a trained network.
        spec: its spec.
        device: where it runs; None takes the first GPU, or the CPU where there is none.
        batch: how many pictures go through the network at once.

    Raises:
        InputError: if this machine has no such device.

    Example:
        >>> detector = Detector.load("model.safetensors")
        >>> [found] = detector(["street.jpg"], confidence=0.4)
        >>> [detector.classes[label] for label in found.labels]
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
        """The detector whose model.safetensors is at `path`.

        Raises:
            InputError: if that is no model, or this machine has no such device.
        """
        return cls(*load_model(Path(path)), device, batch)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        return self.spec.classes

    def __call__(self, pictures: Sequence[Picture], confidence: float = 0.25, nms_iou: float = 0.6, max_detections: int = 100) -> list[Detections]:
        """Find objects in each picture, on the CPU, best first.

        Args:
            pictures: files are turned upright by their EXIF orientation, images and arrays are taken as they lie.
            confidence: least score, exclusive.
            nms_iou: overlap above which the weaker of two boxes of a class goes.
            most: most detections in one picture.

        Returns:
            One `Detections` a picture, its boxes in that picture's pixels and inside it.

        Raises:
            InputError: if a file cannot be decoded, or an array is no picture.
        """
        found: list[Detections] = []
        for start in range(0, len(pictures), self.batch):
            found += self._detect([_as_image(p) for p in pictures[start : start + self.batch]], confidence, nms_iou, max_detections)
        return found

    @torch.no_grad()
    def _detect(self, images: list[Image.Image], confidence: float, nms_iou: float, max_detections: int) -> list[Detections]:
        squares, frames = zip(*(letterbox(image, self.spec.image_size) for image in images), strict=True)
        output = self.network(torch.stack(squares).to(self.device).float() / 255)
        boxes, scores = (part.cpu() for part in decode_boxes(output.heads, self.spec.anchors))
        return [
            to_picture(postprocess(boxes[i], scores[i], confidence, nms_iou, max_detections), frame, image.size)
            for i, (frame, image) in enumerate(zip(frames, images, strict=True))
        ]


def _as_image(picture: Picture) -> Image.Image:
    if isinstance(picture, Image.Image):
        return as_rgb(picture)
    if not isinstance(picture, np.ndarray):
        return read_picture(Path(picture))
    try:
        return from_array(picture)
    except ValueError as error:
        raise InputError("picture", str(error), "give uint8 [H, W], [H, W, 3] or [H, W, 4]") from None
