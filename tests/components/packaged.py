"""A small model in each of its forms, and pictures of every kind; made once, however many tests ask."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from components.register_model.export import export_onnx
from components.register_model.packaging import package
from kd.detection.evaluate import NMSConfig
from kd.model.store import save_model
from tests.components.lively import lively_network

CONFIDENCE = 0.4
KINDS = [
    *(("RGB", "jpg", size) for size in [(640, 480), (480, 640), (64, 64), (63, 65), (7, 5), (1, 300), (300, 1), (1920, 1080)]),
    *(("RGB", "png", size) for size in [(50, 70), (129, 64)]),
    *(("L", "png", (90, 40)), ("L", "jpg", (40, 90)), ("RGBA", "png", (100, 60)), ("LA", "png", (33, 77)), ("P", "png", (80, 80))),
    *(("I;16", "png", (60, 100)), ("1", "png", (60, 60)), ("CMYK", "jpg", (120, 50)), ("RGB", "webp", (99, 55)), ("RGB", "bmp", (31, 57))),
    *(("turned", "jpg", (150, 80)), ("turned", "jpg", (81, 150))),
]


_FOLDER = tempfile.TemporaryDirectory()


@cache
def made() -> Path:
    """A folder with model.safetensors, student.onnx (its numbers are CONFIDENCE, 0.5 and 50) and the package."""
    folder = Path(_FOLDER.name) / "made"
    network, spec = lively_network()
    save_model(folder / "model.safetensors", network, spec)
    export_onnx(network, spec, folder / "student.onnx", NMSConfig(CONFIDENCE, 0.5, 50))
    package(folder / "student.onnx", folder / "package")
    return folder


@cache
def pictures() -> list[Path]:
    """Files as KINDS says, in one folder."""
    folder = Path(_FOLDER.name) / "pictures"
    folder.mkdir()
    return [_write(folder / f"{index:02}.{ending}", mode, size) for index, (mode, ending, size) in enumerate(KINDS)]


def _write(path: Path, mode: str, size: tuple[int, int]) -> Path:
    noise = np.random.default_rng(size)
    small = Image.fromarray(noise.integers(0, 256, (9, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    exif = Image.Exif()
    if mode == "turned":
        exif[0x0112] = 6
    if mode == "I;16":
        small = Image.fromarray(noise.integers(0, 65536, size[::-1], dtype=np.uint16))
    elif mode != "turned":
        small = small.convert(mode)
    small.save(path, exif=exif)
    return path
