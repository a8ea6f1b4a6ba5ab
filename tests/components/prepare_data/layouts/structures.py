"""The structures of datasets that are read: a table for all layouts."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from kd.errors import InputError
from tests.components.prepare_data.layouts import exports
from tests.components.prepare_data.layouts.exports import SPLITS

PICTURES = {"coco": "train/images", "voc": "JPEGImages", "yolo": "images/train"}
"""The folder with the training pictures that `writers` write, by layout."""


class Structure(NamedTuple):
    """A layout, the change of the folder from its writer, the splits in it, and whether all pictures are train afterwards."""

    layout: str
    change: Callable[[Path], object]
    splits: tuple[str, ...] = SPLITS
    merged: bool = False


def contents(dataset):
    """Classes, and the boxes by split and picture."""
    boxes = {
        split: {p.path.stem: [(b.label, b.x, b.y, b.w, b.h) for b in p.boxes] for p in pictures}
        for split, pictures in dataset.splits.items()
    }
    return dataset.classes, boxes


def rejection(read, folder):
    """The message of the error that `read` raises."""
    with pytest.raises(InputError) as error:
        read(folder)
    return str(error.value)


OTHER_MACHINE = {"train": "/content/mine/images/train", "val": "C:\\mine\\images\\val", "test": "mine/images/test"}
YEARS, SUBSETS = [f"{split}2017" for split in SPLITS], ["Train", "Validation", "Test"]
STRUCTURES = {
    "coco": Structure("coco", lambda folder: None),
    "coco Roboflow": Structure("coco", exports.coco_beside_pictures),
    "coco official": Structure("coco", partial(exports.coco_annotations_folder, pictures=".", names=YEARS)),
    "coco official, images/": Structure("coco", partial(exports.coco_annotations_folder, pictures="images", names=YEARS)),
    "coco CVAT": Structure("coco", partial(exports.coco_annotations_folder, pictures="images", names=SUBSETS)),
    "coco file per split": Structure("coco", exports.coco_file_per_split),
    "coco Label Studio": Structure("coco", exports.coco_label_studio, ("train",)),
    **{
        f"coco {file}, {pictures}/": Structure("coco", partial(exports.coco_one_file, file=file, pictures=pictures), ("train",))
        for file, pictures in (
            *(("annotations.json", "images"), ("labels.json", "data")),  # the latter are FiftyOne's
            *(("annotations/instances_default.json", "images"), ("annotations/instances_default.json", "images/default")),
        )
    },
    "voc": Structure("voc", lambda folder: None),
    "voc without lists": Structure("voc", lambda folder: shutil.rmtree(folder / "ImageSets"), merged=True),
    "voc trainval": Structure("voc", exports.voc_trainval),
    "voc CVAT": Structure("voc", exports.voc_lists_of_cvat),
    "voc other spellings": Structure("voc", exports.voc_other_spellings_in_a_list),
    "voc Roboflow": Structure("voc", partial(exports.voc_beside_pictures, target="{}")),
    "voc Roboflow, images/": Structure("voc", partial(exports.voc_beside_pictures, target="images/{}")),
    **{
        f"voc {xml}/, {pictures}/": Structure("voc", partial(exports.voc_folders, xml=xml, pictures=pictures))
        for xml, pictures in (
            *((".", "."), ("images", "images"), ("labels", "data"), ("annotations", "images"), ("annotations/xmls", "images")),
            *(("Annotations", "images"), ("Annotations", ".")),
        )
    },
    "yolo": Structure("yolo", lambda folder: None),
    "yolo without paths": Structure("yolo", partial(exports.edit_yaml, train=None, val=None, test=None)),
    "yolo path": Structure("yolo", exports.yolo_path),
    "yolo Roboflow": Structure("yolo", exports.yolo_roboflow),
    "yolo without split folders": Structure("yolo", exports.yolo_without_split_folders, merged=True),
    "yolo paths of another machine": Structure("yolo", partial(exports.edit_yaml, **OTHER_MACHINE)),
    "yolo empty entries": Structure("yolo", exports.yolo_empty_entries),
    "yolo numbered classes": Structure("yolo", partial(exports.edit_yaml, names=["cat", "dog"])),
    "yolo quoted numbers": Structure("yolo", partial(exports.edit_yaml, names={"0": "cat", "1": "dog"})),
    **{
        f"yolo {name}": Structure("yolo", partial(exports.yolo_renamed_yaml, name=name))
        for name in ("dataset.yaml", "data.yml", "mine.yaml")
    },
    **{
        f"yolo {file}": Structure("yolo", partial(exports.yolo_classes_file, file=file))
        for file in ("classes.txt", "labels/classes.txt", "obj.names")
    },
    "yolo Label Studio": Structure("yolo", exports.yolo_label_studio, merged=True),
    "yolo one folder": Structure("yolo", exports.yolo_one_folder, ("train",)),
    "yolo Roboflow, Darknet": Structure("yolo", exports.yolo_roboflow_darknet),
    **{
        f"yolo Darknet, {prefix}": Structure("yolo", partial(exports.yolo_darknet, prefix=prefix), ("train", "val"))
        for prefix in ("data/", "", "/home/someone/export/")
    },
    **{
        f"yolo list, {prefix}": Structure("yolo", partial(exports.yolo_list, prefix=prefix))
        for prefix in ("", "data/", "/content/mine/", "D:\\mine\\")
    },
}
