"""Data of which only a part of the training pictures keeps its labels; the others become pictures without labels."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from components.prepare_data.anchors import kmeans_anchors
from kd.data.dataset import UNLABELLED
from kd.data.shards import INDEX
from kd.errors import InputError
from kd.files import digest_json, read_json, write_json


def write_labels(data: Path, fraction: float, fit_anchors: bool, output: Path) -> None:
    """Write prepared `data` of which the `fraction` of the training pictures with the lowest hash of their name keep their labels.

    The pictures are links. With `fit_anchors`, the anchors are fitted to the boxes that are left. Val and test are unchanged.

    Raises:
        InputError: if `data` have pictures without labels already, or a class has no labels left.
    """
    if (data / UNLABELLED).exists():
        raise InputError("--labels", f"{data} has pictures without labels already", "leave it out, or set data.unlabelled: ''")
    summary, train = read_json(data / "summary.json"), read_json(data / "train/annotations.json")
    images = sorted(train["images"], key=lambda image: hashlib.sha256(image["file_name"].encode()).digest())
    count = max(round(fraction * len(images)), 1)
    parts = {"train": images[:count], UNLABELLED: images[count:]}
    rows = [row for row in train["annotations"] if row["image_id"] in {image["id"] for image in parts["train"]}]
    _check_classes(train["categories"], rows)
    for split, listed in parts.items():
        # in the order of the file, so that equal pictures are equal bytes
        content = train | {"images": sorted(listed, key=lambda image: image["id"]), "annotations": rows if split == "train" else []}
        write_json(output / split / "annotations.json", content)
        link_pictures(data / "train", output / split)
    for split in ("val", "test"):
        (output / split).symlink_to((data / split).resolve())
    made_from = [summary.pop("digest"), [image["file_name"] for image in parts["train"]]]
    if fit_anchors:
        summary["anchors"] = _anchors(parts["train"], rows, summary["image_size"])
    write_json(output / "summary.json", {**summary, "digest": digest_json(made_from)})


def link_pictures(split: Path, output: Path) -> None:
    """Make the pictures of a prepared `split` those of the folder `output`, too."""
    for file in (split / INDEX, *split.glob("pictures-*.tar")):
        (output / file.name).symlink_to(file.resolve())


def _check_classes(categories: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    labelled = {row["category_id"] for row in rows}
    if lost := [category["name"] for category in categories if category["id"] not in labelled]:
        raise InputError("--labels", f"no label of '{lost[0]}' is left", "give a larger fraction")


def _anchors(images: list[dict[str, Any]], rows: list[dict[str, Any]], image_size: int) -> Any:
    scale = {image["id"]: image_size / max(image["width"], image["height"]) for image in images}
    sides = [(row["bbox"][2] * scale[row["image_id"]], row["bbox"][3] * scale[row["image_id"]]) for row in rows if not row["iscrowd"]]
    return kmeans_anchors(np.array(sides, dtype=np.float64))
