"""Readers of datasets in COCO, VOC and YOLO layout, one module each."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from components.prepare_data.layouts import coco, voc, yolo
from components.prepare_data.layouts.checks import find_empty_splits, find_similar_classes
from components.prepare_data.layouts.dataset import RawDataset
from components.prepare_data.layouts.files import is_hidden, list_files
from kd.errors import InputError


class Layout(Protocol):
    """The interface of a layout's module.

    Attributes:
        EXPECTED: the files that the layout is detected by, in a message.
    """

    EXPECTED: str

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
        tracked = folder.with_name(f"{folder.name}.dvc")
        remedy = f"run `dvc pull {tracked}`" if folder.name and tracked.is_file() else "name the folder with your pictures and labels"
        raise InputError("data.path", f"'{folder}' is not a folder", remedy)
    modules = {name: module for name, module in LAYOUTS.items() if layout in ("auto", name)}
    found = [name for name, module in modules.items() if module.matches(folder)]
    if not found:
        expected = "COCO, VOC or YOLO labels" if layout == "auto" else f"{layout} labels"
        looked_for = ", ".join(f"{module.EXPECTED} ({name.upper()})" for name, module in modules.items())
        subfolders = [sub for sub in sorted(folder.iterdir()) if sub.is_dir() and not is_hidden(sub.name)]
        inside = [sub.name for sub in subfolders if any(module.matches(sub) for module in modules.values())]
        remedy = f"set data.path to its folder {inside[0]}" if len(inside) == 1 else "correct data.path or data.layout, see docs/data.md"
        raise InputError(folder, f"contains no {expected} (looked for {looked_for})", remedy)
    if len(found) > 1:
        raise InputError(folder, f"contains labels of {' and '.join(found)}", "choose one with data.layout")
    list_files(folder, folder)  # refuses links that lead out of the folder, also where the layout has no files
    dataset = LAYOUTS[found[0]].read(folder)
    more = find_empty_splits(dataset.splits) + find_similar_classes(dataset.classes)
    return replace(dataset, findings=dataset.findings + more)
