"""Information maps on disk: NumPy files of float16 [pictures, S / stride, S / stride], one for each tap, or one for the taps of a stride.

index.json names the file of each tap. Maps are appended batch by batch and read memory-mapped, so memory does not grow with the number of
pictures.
"""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.lib.format import write_array_header_1_0
from torch import Tensor

from kd.distillation.statistics import ChannelStatistics, Statistics
from kd.errors import InputError
from kd.files import read_json, write_json
from kd.model.spec import Tap


class MapWriter:
    """Writes the maps of the training pictures, batch by batch. Use it as a context manager.

    Args:
        folder: where the files go.
        grid_sizes: for each tap the number of positions a side.
        pictures: number of pictures.
        metadata: what the maps were made from (method, digests of teacher and data, ...); goes to index.json.
        shared: whether the taps of a stride have the same maps, which are then stored once.
    """

    def __init__(self, folder: Path, grid_sizes: dict[Tap, int], pictures: int, metadata: dict[str, Any], shared: bool = False) -> None:
        self.folder, self.metadata, self.pictures = folder, metadata, pictures
        self.names = {tap: f"stride_{tap.stride}.npy" if shared else f"{tap}.npy" for tap in grid_sizes}
        first = {name: tap for tap, name in reversed(self.names.items())}  # the first tap of each file
        self.files = {tap: _open_npy(folder / name, (pictures, grid_sizes[tap], grid_sizes[tap])) for name, tap in first.items()}

    def __enter__(self) -> "MapWriter":
        return self

    def add(self, maps: dict[Tap, Tensor]) -> None:
        """Append the maps [B, H, W] of the next pictures."""
        for tap, file in self.files.items():
            file.write(maps[tap].cpu().numpy().astype("<f2").tobytes())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for file in self.files.values():
            file.close()
        if kind is None:
            files = {str(tap): name for tap, name in self.names.items()}
            write_json(self.folder / "index.json", {**self.metadata, "pictures": self.pictures, "files": files})


def _open_npy(path: Path, shape: tuple[int, int, int]) -> BinaryIO:
    """A .npy file without its values; it is written as a stream, because a full disk kills a process that writes a memory map."""
    file = path.open("wb")
    write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
    return file


class MapStore:
    """Reads stored maps, of one picture or of a list of pictures.

    Raises:
        InputError: if a file is missing or damaged, or the maps are of another number of pictures or from an older release.
    """

    def __init__(self, folder: Path, taps: Iterable[Tap], pictures: int) -> None:
        self.folder, self.metadata = folder, read_index(folder)
        if (stored := self.metadata.get("pictures")) != pictures:
            problem = f"holds maps of {stored} pictures, but the data have {pictures}"
            raise InputError(folder, problem, "run compute_info_maps again")
        files = self.metadata.get("files", {})
        self.names = {tap: _file_name(folder, tap, files) for tap in taps}
        self._open()

    def _open(self) -> None:
        try:
            # plain arrays, because an index into a `memmap` takes several times as long
            self.files = {name: np.asarray(np.load(self.folder / name, mmap_mode="r")) for name in set(self.names.values())}
        except FileNotFoundError as error:
            raise InputError(self.folder, f"lacks the maps {error.filename}", "run compute_info_maps again") from None
        except (EOFError, ValueError) as error:
            raise InputError(self.folder, f"holds damaged maps ({error})", "run compute_info_maps again") from None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"files": {}}  # another process maps the files itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._open()

    def __getitem__(self, index: int | list[int]) -> dict[Tap, Tensor]:
        """The maps of a picture by tap, float32 [S / stride, S / stride], or of pictures, [N, S / stride, S / stride]."""
        maps = {name: torch.from_numpy(file[index].astype(np.float32)) for name, file in self.files.items()}
        return {tap: maps[name] for tap, name in self.names.items()}


def _file_name(folder: Path, tap: Tap, files: dict[str, str]) -> str:
    """The name in index.json, which is a name that `MapWriter` gives."""
    if (name := files.get(str(tap))) not in (f"{tap}.npy", f"stride_{tap.stride}.npy"):
        raise InputError(folder / "index.json", f"names no file for the maps of {tap}", "run compute_info_maps again")
    return name


def read_index(folder: Path) -> dict[str, Any]:
    """What the maps in `folder` were made from: method, strides, number of pictures, digests."""
    metadata: dict[str, Any] = read_json(folder / "index.json")
    return metadata


def save_statistics(folder: Path, statistics: Statistics) -> None:
    """Write the channel statistics beside the maps: mean and standard deviation, [2, C], for each tap."""
    for tap, moments in statistics.items():
        np.save(folder / f"{tap}.statistics.npy", torch.stack(moments).cpu().numpy())


def load_statistics(folder: Path, taps: Iterable[Tap], device: torch.device | None = None) -> Statistics:
    """Read what `save_statistics` wrote, to `device`; None for the CPU.

    Raises:
        InputError: if a file is missing.
    """
    try:
        return {tap: ChannelStatistics(*torch.from_numpy(np.load(folder / f"{tap}.statistics.npy")).to(device)) for tap in taps}
    except FileNotFoundError as error:
        raise InputError(folder, f"lacks the channel statistics {error.filename}", "run compute_info_maps again") from None
