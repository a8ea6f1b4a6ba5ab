"""Information maps on disk: per tap one NumPy file of float16 [pictures, S / stride, S / stride].

They are appended batch by batch and read memory-mapped, so memory does not grow with the pictures.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.lib.format import write_array_header_1_0
from torch import Tensor

from kd.distillation.cartographer import Statistics
from kd.errors import InputError
from kd.files import read_json, write_json


class MapWriter:
    """Writes maps picture by picture; use as a context manager.

    Args:
        folder: where the files go.
        shapes: per tap the number of cells a side.
        pictures: how many pictures there are.
        about: facts that the maps belong to (reading, teacher's digest, data's digest, ...).
    """

    def __init__(self, folder: Path, shapes: dict[str, int], pictures: int, about: dict[str, Any]) -> None:
        self.folder, self.about, self.pictures = folder, about, pictures
        self.files = {tap: _begin(folder / f"{tap}.npy", (pictures, cells, cells)) for tap, cells in shapes.items()}

    def __enter__(self) -> "MapWriter":
        return self

    def add(self, maps: dict[str, Tensor]) -> None:
        """Append the maps [B, H, W] of the next pictures of the split."""
        for tap, file in self.files.items():
            file.write(maps[tap].cpu().numpy().astype("<f2").tobytes())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for file in self.files.values():
            file.close()
        if kind is None:
            write_json(self.folder / "index.json", {**self.about, "pictures": self.pictures})


def _begin(path: Path, shape: tuple[int, int, int]) -> BinaryIO:
    """A .npy file that wants its values; written to as a stream, because a full disk kills whoever writes through a memory map."""
    file = path.open("wb")
    write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
    return file


class MapStore:
    """Reads what a `MapWriter` wrote; a picture's maps are read from disk when they are asked for.

    Raises:
        InputError: if the folder holds no maps, or maps of another number of pictures.
    """

    def __init__(self, folder: Path, taps: list[str], pictures: int | None) -> None:
        self.about = read_json(folder / "index.json")
        if pictures is not None and self.about["pictures"] != pictures:
            problem = f"holds maps of {self.about['pictures']} pictures, the data have {pictures}"
            raise InputError(folder, problem, "run compute_info_maps again")
        try:
            self.files = {tap: np.load(folder / f"{tap}.npy", mmap_mode="r") for tap in taps}
        except FileNotFoundError as error:
            raise InputError(folder, f"lacks the maps {error.filename}", "run compute_info_maps again") from None

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Maps [S / stride, S / stride] float32 of picture `index` by tap name."""
        return {tap: torch.from_numpy(np.array(file[index], dtype=np.float32)) for tap, file in self.files.items()}


def save_statistics(folder: Path, statistics: Statistics) -> None:
    """Keep the channels' statistics beside the maps that were made with them: per tap mean and deviation, [2, C]."""
    for tap, moments in statistics.items():
        np.save(folder / f"{tap}.statistics.npy", torch.stack(moments).cpu().numpy())


def load_statistics(folder: Path) -> Statistics:
    """What `save_statistics` kept in a folder of maps."""
    moments = {file.name.split(".")[0]: torch.from_numpy(np.load(file)) for file in sorted(folder.glob("*.statistics.npy"))}
    return {tap: (mean, deviation) for tap, (mean, deviation) in moments.items()}
