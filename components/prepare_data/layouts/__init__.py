"""The layouts in which users keep labelled pictures: one module each, with `recognizes(folder)` and `read(folder)`."""

from pathlib import Path
from typing import Protocol

from components.prepare_data.layouts import coco, voc, yolo
from components.prepare_data.layouts.source import RawDataset
from kd.errors import InputError


class Layout(Protocol):
    """What a layout's module offers."""

    def recognizes(self, folder: Path) -> bool:
        """Whether the folder holds the layout."""

    def read(self, folder: Path) -> RawDataset:
        """The data set in the folder."""


LAYOUTS: dict[str, Layout] = {"coco": coco, "voc": voc, "yolo": yolo}


def read_source(folder: Path, layout: str) -> RawDataset:
    """Read the data set in `folder`, written as `layout`: coco, voc, yolo, or auto to find out.

    Raises:
        InputError: there is no such folder, it holds no or several layouts, or its files are wrong.
    """
    if not folder.is_dir():
        raise InputError("data.path", f"'{folder}' is no folder", "name the folder with your pictures and labels")
    found = [name for name, module in LAYOUTS.items() if layout in ("auto", name) and module.recognizes(folder)]
    if not found:
        wanted = "COCO, VOC or YOLO labels" if layout == "auto" else f"{layout} labels"
        raise InputError(folder, f"holds no {wanted}", "mend data.path or data.layout; the README shows the layouts")
    if len(found) > 1:
        raise InputError(folder, f"holds labels of {' and '.join(found)}", "choose one with data.layout")
    return LAYOUTS[found[0]].read(folder)
