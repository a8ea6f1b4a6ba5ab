"""A small model in all its forms, and pictures of every kind; created once and shared by all tests."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from components.register_model.export import export_onnx
from components.register_model.mlflow_model import package
from kd.detection.evaluate import NMSConfig
from kd.model.store import save_model
from tests.components.random_networks import random_network

CONFIDENCE = 0.4
PICTURE_KINDS = [
    *(("RGB", "jpg", size) for size in [(640, 480), (480, 640), (64, 64), (63, 65), (7, 5), (1, 300), (300, 1), (1920, 1080)]),
    *(("RGB", "png", size) for size in [(50, 70), (129, 64)]),
    *(("L", "png", (90, 40)), ("L", "jpg", (40, 90)), ("RGBA", "png", (100, 60)), ("LA", "png", (33, 77)), ("P", "png", (80, 80))),
    *(("I;16", "png", (60, 100)), ("1", "png", (60, 60)), ("CMYK", "jpg", (120, 50)), ("RGB", "webp", (99, 55)), ("RGB", "bmp", (31, 57))),
    *(("rotated", "jpg", (150, 80)), ("rotated", "jpg", (81, 150))),
]


_FOLDER = tempfile.TemporaryDirectory()


@cache
def model_folder() -> Path:
    """A folder with model.safetensors, student.onnx (with the defaults CONFIDENCE, 0.5 and 50) and its package."""
    folder = Path(_FOLDER.name) / "model"
    network, spec = random_network()
    save_model(folder / "model.safetensors", network, spec)
    export_onnx(network, spec, folder / "student.onnx", NMSConfig(CONFIDENCE, 0.5, 50))
    package(folder / "student.onnx", folder / "package")
    return folder


@cache
def picture_files() -> list[Path]:
    """One file for each of PICTURE_KINDS, in one folder."""
    folder = Path(_FOLDER.name) / "pictures"
    folder.mkdir()
    return [_write(folder / f"{index:02}.{suffix}", mode, size) for index, (mode, suffix, size) in enumerate(PICTURE_KINDS)]


def _write(path: Path, mode: str, size: tuple[int, int]) -> Path:
    noise = np.random.default_rng(size)
    image = Image.fromarray(noise.integers(0, 256, (9, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    exif = Image.Exif()
    if mode == "rotated":
        exif[0x0112] = 6
    elif mode == "I;16":
        image = Image.fromarray(noise.integers(0, 65536, size[::-1], dtype=np.uint16))
    else:
        image = image.convert(mode)
    image.save(path, exif=exif)
    return path
