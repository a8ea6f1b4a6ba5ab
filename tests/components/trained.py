"""What the steps before `evaluate` leave: a tiny prepared data set, three untrained models with made-up histories, and maps."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from components.prepare_data.summary import summarize_split
from kd.distillation.map_store import MapWriter
from kd.files import write_json
from kd.model.spec import Architecture, taps_at
from kd.model.store import save_model
from tests.components.random_networks import SIDE, random_network
from tests.packed import pack

CLASSES = ["class 0", "class 1", "class 2"]
TRAIN, VAL, TEST = 5, 1, 6
SIZE = (70, 50)  # not square, and larger than the networks' input
HISTORY = "epoch,box,objectness,class,val_map,val_map50\n1,3,2,1,,\n2,2,1,0.5,0.1,0.2\n"
TAUGHT = "epoch,box,objectness,class,distill_backbone_16,gradient_ratio,val_map,val_map50\n1,3,2,1,1,0.5,,\n2,2,1,0.5,0.5,0.25,0.2,0.3\n"
WARNINGS = [{"check": "x", "count": 4, "problem": "4 <things> are odd", "examples": ["a", "b", "c"], "remedy": "look at them"}]
STRIDES = (8, 16, 32)
PLACES = {
    "data": "outputs/prepare_data",
    "teacher": "outputs/train_teacher",
    "baseline": "outputs/train_baseline",
    "student": "outputs/distill_student",
    "maps": "outputs/compute_info_maps",
}


def write_outputs(root: Path, classes: list[str] = CLASSES, test: int = TEST) -> dict[str, Path]:
    """Write the outputs of all steps before `evaluate`, with `test` test pictures, below `root`.

    Returns:
        Their folders by the names of the parameters of `evaluate`.
    """
    places = {name: root / place for name, place in PLACES.items()}
    for place in places.values():
        place.mkdir(parents=True)
    splits = {
        split: _write_split(places["data"] / split, count, classes) for split, count in (("train", TRAIN), ("val", VAL), ("test", test))
    }
    summary = {"classes": classes, "digest": "0123abcd", "splits": splits, "image_size": SIDE, "dropped": [], "warnings": WARNINGS}
    write_json(places["data"] / "summary.json", summary)
    write_model(places["teacher"], "yolov3", classes, seed=0)
    write_model(places["baseline"], "yolov3-tiny", classes, seed=1)
    write_model(places["student"], "yolov3-tiny", classes, seed=2)
    (places["student"] / "history.csv").write_text(TAUGHT)
    shapes = {tap: SIDE // tap.stride for tap in taps_at(STRIDES)}
    with MapWriter(places["maps"], shapes, TRAIN, {"method": "activation", "strides": STRIDES}) as writer:
        writer.add({tap: torch.rand(TRAIN, cells, cells, generator=torch.Generator().manual_seed(0)) for tap, cells in shapes.items()})
    return places


def write_model(folder: Path, architecture: Architecture, classes: list[str], seed: int) -> None:
    network, spec = random_network(architecture, len(classes), seed)
    save_model(folder / "model.safetensors", network, type(spec)(**{**vars(spec), "classes": tuple(classes)}))
    (folder / "history.csv").write_text(HISTORY)


def _write_split(folder: Path, count: int, classes: list[str]) -> dict[str, Any]:
    (folder / "images").mkdir(parents=True)
    noise = np.random.default_rng(list(folder.name.encode()))
    width, height = SIZE
    images = [{"id": i, "file_name": f"{i}.png", "width": width, "height": height} for i in range(1, count + 1)]
    for image in images:
        Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / "images" / str(image["file_name"]))
    boxes = [(image["id"], label, [5 + 20 * label, 8, 18, 24]) for image in images[1:] for label in range(2)]  # the last class never occurs
    annotations = [
        {"id": i, "image_id": owner, "category_id": label + 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for i, (owner, label, box) in enumerate(boxes, 1)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, 1)]
    write_json(folder / "annotations.json", {"images": images, "annotations": annotations, "categories": categories})
    pack(folder)
    counts = {name: count - 1 if label < 2 else 0 for label, name in enumerate(classes)}
    return summarize_split(classes, []) | {"pictures": count, "boxes": len(boxes), "per_class": counts, "empty_pictures": 1}
