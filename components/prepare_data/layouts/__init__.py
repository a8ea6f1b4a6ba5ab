"""Readers of datasets in COCO, VOC and YOLO layout, one module each."""

from pathlib import Path
from typing import Protocol

from components.prepare_data.layouts import coco, voc, yolo
from components.prepare_data.layouts.dataset import RawDataset
from kd.errors import InputError


class Layout(Protocol):
    """The interface of a layout's module."""

    def matches(self, folder: Path) -> bool:
        """Whether the folder has this layout."""

    def read(self, folder: Path) -> RawDataset:
        """Read the dataset in the folder."""


LAYOUTS: dict[str, Layout] = {"coco": coco, "voc": voc, "yolo": yolo}


def read_dataset(folder: Path, layout: str) -> RawDataset:
    """Read the dataset in `folder`; `layout` is coco, voc, yolo, or auto to detect it.

    Raises:
        InputError: if the folder is missing, has no or several layouts, or contains invalid files.
    """
    if not folder.is_dir():
        raise InputError("data.path", f"'{folder}' is not a folder", "name the folder with your pictures and labels")
    found = [name for name, module in LAYOUTS.items() if layout in ("auto", name) and module.matches(folder)]
    if not found:
        expected = "COCO, VOC or YOLO labels" if layout == "auto" else f"{layout} labels"
        raise InputError(folder, f"contains no {expected}", "correct data.path or data.layout; the README shows the layouts")
    if len(found) > 1:
        raise InputError(folder, f"contains labels of {' and '.join(found)}", "choose one with data.layout")
    return LAYOUTS[found[0]].read(folder)
